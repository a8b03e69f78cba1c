#include "distribution/join.h"

#include <algorithm>
#include <utility>

#include "distribution/epmd.h"
#include "ml_worker/log.h"

namespace ml_worker::distribution {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds kFirstBackoff = 500ms;
constexpr std::chrono::milliseconds kLongestBackoff = 10000ms;
constexpr std::chrono::milliseconds kCheckInterval = 1000ms;
constexpr const char* kNoNameServer = "no name server answers for its host";

}  // namespace

Joiner::Joiner(asio::io_context& io, JoinOptions options, const TransportFactory& transports,
               std::function<bool()> is_connected, std::function<bool()> is_dialled,
               std::function<bool(std::uint32_t)> is_our_challenge, Connected connected)
    : io_(io),
      options_(std::move(options)),
      transports_(transports),
      is_connected_(std::move(is_connected)),
      is_dialled_(std::move(is_dialled)),
      is_our_challenge_(std::move(is_our_challenge)),
      connected_(std::move(connected)),
      socket_(io),
      timer_(io),
      deadline_(io),
      backoff_(kFirstBackoff) {}

void Joiner::start() { check(); }

std::optional<std::uint32_t> Joiner::outstanding_challenge() const {
  return handshaker_ ? handshaker_->outstanding_challenge() : std::nullopt;
}

std::string Joiner::host() const {
  return options_.peer_name.substr(options_.peer_name.find('@') + 1);
}

void Joiner::stop() {
  stopped_ = true;
  timer_.cancel();
  deadline_.cancel();
  std::error_code ignored;
  socket_.close(ignored);
  if (const auto handshaker = std::exchange(handshaker_, nullptr)) handshaker->fail("stopping");
}

void Joiner::check() {
  if (stopped_) return;
  if (is_connected_()) {
    backoff_ = kFirstBackoff;
    last_failure_.clear();
    gave_way_ = false;
    return check_after(kCheckInterval);
  }
  find_host();
}

void Joiner::check_after(std::chrono::milliseconds delay) {
  timer_.expires_after(delay);
  timer_.async_wait([self = shared_from_this()](std::error_code error) {
    if (!error) self->check();
  });
}

/// One look-up at a time, however long it takes: what is late for its attempt is not used.
void Joiner::find_host() {
  if (!looking_up_.expired()) return failed(kNoNameServer);
  deadline_.expires_after(options_.handshake_timeout);
  deadline_.async_wait([self = shared_from_this()](std::error_code error) {
    if (error) return;
    if (!self->looking_up_.expired()) return self->failed(kNoNameServer);
    std::error_code ignored;
    self->socket_.close(ignored);  // the operation under way fails
  });
  const auto under_way = std::make_shared<bool>();
  looking_up_ = under_way;
  look_up(host(), options_.post,
          [weak = weak_from_this(), attempt = attempt_, under_way](Addresses found) {
            const auto self = weak.lock();
            if (self && attempt == self->attempt_) self->on_found(std::move(found));
          });
}

void Joiner::on_found(Addresses found) {
  if (stopped_) return;
  if (found.empty()) return failed("its host is unknown");
  addresses_ = std::move(found);
  if (options_.peer_port != 0) return dial(options_.peer_port);
  ask_epmd();
}

void Joiner::point_at(std::uint16_t port) {
  socket_ = asio::ip::tcp::socket(io_);
  endpoints_.clear();
  for (const auto& address : addresses_) endpoints_.emplace_back(address, port);
}

void Joiner::ask_epmd() {
  point_at(options_.epmd_port);
  asio::async_connect(
      socket_, endpoints_,
      [self = shared_from_this()](std::error_code error, const asio::ip::tcp::endpoint& endpoint) {
        if (error) return self->failed("no epmd on its host");
        self->prefer(endpoint.address());
        self->send_port_please();
      });
}

/// The node most likely listens where its epmd does; but epmd listens on IPv4 and IPv6, the node on
/// one of them.
void Joiner::prefer(const asio::ip::address& address) {
  const auto found = std::find(addresses_.begin(), addresses_.end(), address);
  if (found != addresses_.end()) std::rotate(addresses_.begin(), found, found + 1);
}

void Joiner::send_port_please() {
  request_ = epmd::port_please2_request(options_.peer_name.substr(0, options_.peer_name.find('@')));
  received_ = 0;
  asio::async_write(socket_, asio::buffer(request_),
                    [self = shared_from_this()](std::error_code error, std::size_t) {
                      if (error) return self->failed("epmd on its host does not answer");
                      self->read_port();
                    });
}

void Joiner::read_port() {
  socket_.async_read_some(asio::buffer(input_) + received_,
                          [self = shared_from_this()](std::error_code error, std::size_t count) {
                            if (error) return self->failed("epmd on its host does not answer");
                            self->on_port_bytes(count);
                          });
}

void Joiner::on_port_bytes(std::size_t count) {
  using State = epmd::Parse<epmd::Port2Response>::State;
  received_ += count;
  const auto response = epmd::parse_port2_response(ByteView(input_).first(received_));
  if (response.state == State::incomplete) return read_port();
  if (response.state == State::malformed) return failed("epmd on its host answers nonsense");
  if (!response.value.found) return failed("it is not registered with epmd");
  if (response.value.highest_version < 6) return failed("it speaks an old protocol");
  dial(response.value.port);
}

void Joiner::dial(std::uint16_t port) {
  if (stopped_) return;
  point_at(port);
  asio::async_connect(socket_, endpoints_,
                      [self = shared_from_this()](std::error_code error, const auto&) {
                        if (error) return self->failed("it refuses connections");
                        self->shake_hands();
                      });
}

/// A node that dials us and has heard "ok" takes our name for one that dials at the same moment.
/// With the smaller name it drops its own connection for ours, even while that comes up, and its
/// first calls are lost with it. So it goes first; once only, for anybody may claim its name.
bool Joiner::gives_way() {
  gave_way_ = !gave_way_ && is_dialled_();
  return gave_way_;
}

void Joiner::shake_hands() {
  if (stopped_) return;
  deadline_.cancel();
  if (is_connected_() || gives_way()) {
    std::error_code ignored;
    socket_.close(ignored);
    return check_after(kFirstBackoff);
  }
  handshaker_ = std::make_shared<Handshaker>(
      io_, transports_.dialled(std::move(socket_), host()),
      std::make_unique<Initiator>(options_.local, options_.peer_name, is_connected_,
                                  is_our_challenge_),
      [self = shared_from_this()](Established established) {
        self->on_connected(std::move(established));
      },
      [self = shared_from_this()](const HandshakeFailure& failure) {
        self->failed(failure.reason);
      });
  handshaker_->start(options_.handshake_timeout);
}

void Joiner::on_connected(Established established) {
  handshaker_.reset();
  if (stopped_) return established.transport->close();
  backoff_ = kFirstBackoff;
  last_failure_.clear();
  connected_(std::move(established));
  check_after(kCheckInterval);
}

/// Logs a reason once, not at each attempt; and none where the node has dialled us meanwhile.
void Joiner::failed(const std::string& why) {
  ++attempt_;
  handshaker_.reset();
  deadline_.cancel();
  if (stopped_) return;
  if (is_connected_()) return check_after(kCheckInterval);
  if (std::exchange(last_failure_, why) != why) {
    log::warning("cannot join, trying again", {{"node", options_.peer_name}, {"reason", why}});
  }
  check_after(backoff_);
  backoff_ = std::min(2 * backoff_, kLongestBackoff);
}

}  // namespace ml_worker::distribution
