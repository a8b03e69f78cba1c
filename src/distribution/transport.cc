#include "distribution/transport.h"

#include <netinet/tcp.h>

#include <utility>

namespace ml_worker::distribution {
namespace {

class TcpTransport final : public Transport {
 public:
  explicit TcpTransport(asio::ip::tcp::socket socket)
      : socket_(std::move(socket)), address_(address_of(socket_)) {
    set_up(socket_);
  }

  void async_open(Opened opened) override { opened(""); }
  void async_read_some(asio::mutable_buffer buffer, Handler handler) override {
    socket_.async_read_some(buffer, std::move(handler));
  }
  void async_write_some(const std::vector<asio::const_buffer>& buffers, Handler handler) override {
    socket_.async_write_some(buffers, std::move(handler));
  }
  void shutdown_send() override {
    std::error_code ignored;
    socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  }
  void close() override {
    std::error_code ignored;
    socket_.close(ignored);
  }
  std::size_t handshake_prefix_bytes() const override { return 2; }
  std::string remote_address() const override { return address_; }

 private:
  asio::ip::tcp::socket socket_;
  std::string address_;
};

class TcpTransports final : public TransportFactory {
 public:
  std::unique_ptr<Transport> accepted(asio::ip::tcp::socket socket) const override {
    return std::make_unique<TcpTransport>(std::move(socket));
  }
  std::unique_ptr<Transport> dialled(asio::ip::tcp::socket socket,
                                     const std::string&) const override {
    return std::make_unique<TcpTransport>(std::move(socket));
  }
  void reload() override {}
};

}  // namespace

std::unique_ptr<TransportFactory> make_tcp_transports() {
  return std::make_unique<TcpTransports>();
}

void set_up(asio::ip::tcp::socket& socket) {
  std::error_code ignored;
  // Without it two small writes wait for the peer's delayed acknowledgement: 44 ms a call.
  socket.set_option(asio::ip::tcp::no_delay(true), ignored);
  // What the kernel holds unsent stands before a tick or a small reply: megabytes without it.
  constexpr int kUnsentBytes = 256 << 10;
  socket.set_option(
      asio::detail::socket_option::integer<IPPROTO_TCP, TCP_NOTSENT_LOWAT>(kUnsentBytes), ignored);
}

std::string address_of(const asio::ip::tcp::socket& socket) {
  std::error_code error;
  const auto remote = socket.remote_endpoint(error);
  if (error) return "unknown";
  auto address = remote.address();
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    address = asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
  }
  return address.to_string();
}

}  // namespace ml_worker::distribution
