#include "distribution/listener.h"

#include <utility>

#include "ml_worker/log.h"
#include "ml_worker/startup_error.h"

namespace ml_worker::distribution {
namespace {

constexpr std::chrono::milliseconds kPause{100};

asio::ip::address parse_address(const std::string& text) {
  std::error_code error;
  auto address = asio::ip::make_address(text, error);
  if (error) {
    throw StartupError(ExitCode::network, "listen: expected an IP address, got " + text);
  }
  return address;
}

}  // namespace

Listener::Listener(asio::io_context& io, const std::string& address, std::uint16_t port_from,
                   std::uint16_t port_to)
    : io_(io), acceptor_(io), pause_timer_(io) {
  const auto parsed = parse_address(address);
  std::error_code error;
  for (std::uint32_t port = port_from; port <= std::max(port_from, port_to); ++port) {
    bind(parsed, static_cast<std::uint16_t>(port), error);
    if (!error) break;
  }
  if (error) {
    throw StartupError(ExitCode::network, "cannot listen on " + address + ", ports " +
                                              std::to_string(port_from) + "-" +
                                              std::to_string(port_to) + ": " + error.message());
  }
  port_ = acceptor_.local_endpoint().port();
}

void Listener::bind(const asio::ip::address& address, std::uint16_t port, std::error_code& error) {
  const asio::ip::tcp::endpoint endpoint(address, port);
  std::error_code ignored;
  acceptor_.close(ignored);
  acceptor_.open(endpoint.protocol(), error);
  if (error) return;
  acceptor_.set_option(asio::ip::tcp::acceptor::reuse_address(true), ignored);
  // On :: IPv4 peers are served too, whatever the machine's default says.
  if (address.is_v6()) acceptor_.set_option(asio::ip::v6_only(false), ignored);
  acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
}

void Listener::start(Accepted accepted) {
  accepted_ = std::move(accepted);
  accept();
}

void Listener::close() {
  std::error_code ignored;
  acceptor_.close(ignored);
  pause_timer_.cancel();
}

void Listener::accept() {
  if (!acceptor_.is_open()) return;
  acceptor_.async_accept(
      [self = shared_from_this()](std::error_code error, asio::ip::tcp::socket socket) {
        if (!self->acceptor_.is_open()) return;
        // Out of descriptors the next accept would fail at once, and again: a busy loop.
        if (error) return self->pause(error);
        self->accept();  // first: what goes wrong with one connection stops no other
        self->accepted_(std::move(socket));
      });
}

void Listener::pause(const std::error_code& why) {
  if (log_limiter_.allow("pause")) {
    log::warning("no connection can be accepted now: trying again", {{"reason", why.message()}});
  }
  pause_timer_.expires_after(kPause);
  pause_timer_.async_wait([self = shared_from_this()](std::error_code error) {
    if (!error) self->accept();
  });
}

}  // namespace ml_worker::distribution
