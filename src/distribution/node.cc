#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>

#include "distribution/connection.h"
#include "distribution/descriptors.h"
#include "distribution/handshake_limit.h"
#include "distribution/join.h"
#include "distribution/listener.h"
#include "distribution/log_limit.h"
#include "distribution/registration.h"
#include "ml_worker/distribution.h"
#include "ml_worker/log.h"
#include "ml_worker/startup_error.h"

namespace ml_worker::distribution {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kLargestFrame = 0x7fffffff;
constexpr std::size_t kOwnDescriptors = 256;  ///< of the worker: devices, files, epmd, look-ups

std::uint32_t random_creation() {
  constexpr std::uint32_t kReserved = 4;  // 0 to 3: what nodes before OTP 23 used
  std::uint32_t creation = 0;
  while (creation < kReserved) creation = random_u32();
  return creation;
}

std::string alive_name(const std::string& name) { return name.substr(0, name.find('@')); }

}  // namespace

std::uint16_t epmd_port_from_environment() {
  constexpr std::uint16_t kStandardPort = 4369;
  const char* text = std::getenv("ERL_EPMD_PORT");
  if (text == nullptr) return kStandardPort;
  const long port = std::strtol(text, nullptr, 10);
  return port > 0 && port <= 65535 ? static_cast<std::uint16_t>(port) : kStandardPort;
}

class Node::Impl {
 public:
  Impl(NodeOptions options, CallHandler& handler);
  ~Impl();

  bool start();
  void run();
  void on_signal(const std::vector<int>& signals, std::function<void(int)> action);
  void reload_tls();
  void unpublish();
  void stop(std::chrono::milliseconds linger);
  std::uint16_t port() const { return listener_ ? listener_->port() : 0; }

 private:
  using SignalAction = std::shared_ptr<std::function<void(int)>>;

  NodeContext make_context(CallHandler& handler);
  ConnectionLimits connection_limits() const;
  void allow_descriptors() const;
  bool register_name();
  void start_joiners();
  static void wait_for_signal(const std::shared_ptr<asio::signal_set>& set, SignalAction action);

  KnownAs known_as(const std::string& peer_name) const;
  bool is_dialled_by(const std::string& peer_name) const;
  bool is_our_challenge(std::uint32_t challenge) const;
  bool full() const;
  void log_refusal();
  void on_accepted(asio::ip::tcp::socket socket);
  std::optional<HandshakeLimiter::Ticket> admit(const std::string& source);
  void make_room(HandshakeLimiter::Ticket ticket);
  void begin_handshake(HandshakeLimiter::Ticket ticket, const std::string& source,
                       asio::ip::tcp::socket socket);
  void end_handshake(HandshakeLimiter::Ticket ticket, bool proved);
  void on_handshake_failed(const std::string& source, const HandshakeFailure& failure);
  bool may_log(const std::string& source, const std::string& claimed_name,
               const std::string& reason);
  void on_established(Established established);
  void on_closed(const Connection& connection, const std::string& why);

  void withdraw();
  void begin_stop(std::chrono::milliseconds linger);
  void stop_if_idle();
  void close_all();

  NodeOptions options_;
  LocalNode local_;
  // Shared with the closures that bring replies back, which may outlive the node.
  std::shared_ptr<asio::io_context> io_;
  std::unique_ptr<TransportFactory> transports_;  ///< ends before what its threads use
  NodeContext context_;
  std::shared_ptr<Listener> listener_;
  std::shared_ptr<Registration> registration_;
  std::vector<std::shared_ptr<Joiner>> joiners_;
  HandshakeLimiter handshake_limiter_;
  std::unordered_map<HandshakeLimiter::Ticket, std::shared_ptr<Handshaker>> handshakes_;
  std::unordered_map<std::string, std::shared_ptr<Connection>> connections_;
  asio::steady_timer linger_timer_;
  LogLimiter own_lines_;
  SourceLogLimiter lines_of_strangers_;
  bool withdrawn_ = false;
  bool stopping_ = false;
};

Node::Impl::Impl(NodeOptions options, CallHandler& handler)
    : options_(std::move(options)),
      local_{options_.name, options_.cookie, random_creation()},
      io_(std::make_shared<asio::io_context>()),
      transports_(options_.tls ? make_tls_transports(*options_.tls) : make_tcp_transports()),
      context_(make_context(handler)),
      handshake_limiter_(
          {options_.max_handshakes, options_.handshake_rate, options_.handshake_rate_total},
          HandshakeLimiter::Clock::now()),
      linger_timer_(*io_) {}

/// Handlers that never ran hold connections that refer to this object: they go first.
Node::Impl::~Impl() {
  try {
    close_all();
  } catch (const std::exception& error) {
    log::error("the node did not end cleanly", {{"what", error.what()}});
  }
}

void Node::Impl::close_all() {
  stopping_ = true;
  withdraw();
  for (const auto& [name, connection] : connections_) connection->close("the node ends");
  linger_timer_.cancel();
  do {
    io_->restart();
    io_->poll();
    std::this_thread::sleep_for(transports_->opening() > 0 ? 1ms : 0ms);
  } while (transports_->opening() > 0);
}

NodeContext Node::Impl::make_context(CallHandler& handler) {
  auto post = [io = std::weak_ptr(io_)](std::function<void()> action) {
    if (const auto alive = io.lock()) asio::dispatch(*alive, std::move(action));
  };
  return NodeContext{options_.name,
                     OurPids(options_.name, local_.creation),
                     handler,
                     std::move(post),
                     options_.max_calls,
                     options_.max_message_bytes,
                     std::min(options_.max_unsent_bytes, kLargestFrame),
                     options_.max_unsent_bytes};
}

ConnectionLimits Node::Impl::connection_limits() const {
  return {
      options_.tick_interval,
      options_.peer_timeout,
      options_.send_timeout,
      {options_.max_message_bytes, options_.max_reassembly_bytes, options_.max_reassembly_messages},
      options_.max_unsent_bytes};
}

// ---- Start
// ----------------------------------------------------------------------------------------

bool Node::Impl::start() {
  allow_descriptors();
  listener_ = std::make_shared<Listener>(*io_, options_.listen_address, options_.port_from,
                                         options_.port_to);
  if (options_.use_epmd && !register_name()) return false;
  listener_->start([this](asio::ip::tcp::socket socket) { on_accepted(std::move(socket)); });
  start_joiners();
  return true;
}

/// Otherwise half-open connections would use up what genuine ones need, before the limits of
/// handshakes apply.
void Node::Impl::allow_descriptors() const {
  const std::size_t wanted =
      options_.max_connections + options_.max_handshakes + options_.join.size() + kOwnDescriptors;
  const std::size_t limit = raise_descriptor_limit(wanted);
  if (limit >= wanted) return;
  log::warning("the limit of open files is too low for so many connections and handshakes",
               {{"limit", std::to_string(limit)}, {"wanted", std::to_string(wanted)}});
}

/// False: withdrawn meanwhile.
bool Node::Impl::register_name() {
  registration_ = std::make_shared<Registration>(
      *io_, RegistrationOptions{alive_name(options_.name), listener_->port(), options_.epmd_port,
                                options_.start_epmd});
  registration_->start();
  const auto deadline = std::chrono::steady_clock::now() + options_.registration_timeout;
  // A clash right after a crash clears as soon as epmd has seen the old connection end.
  while (!registration_->registered() && std::chrono::steady_clock::now() < deadline) {
    io_->run_one_for(100ms);
    if (withdrawn_) return false;
  }
  if (registration_->registered()) return true;
  registration_->withdraw();
  if (registration_->trouble() == RegistrationTrouble::name_taken) {
    throw StartupError(ExitCode::name_taken,
                       "another node on this host has the name " + alive_name(options_.name));
  }
  throw StartupError(ExitCode::epmd,
                     "no epmd answers on port " + std::to_string(options_.epmd_port) +
                         (options_.start_epmd ? ", and none could be started" : ""));
}

void Node::Impl::start_joiners() {
  for (const std::string& peer : options_.join) {
    joiners_.push_back(std::make_shared<Joiner>(
        *io_,
        JoinOptions{peer, local_, options_.epmd_port, options_.join_port,
                    options_.handshake_timeout, context_.post},
        *transports_, [this, peer] { return connections_.contains(peer); },
        [this, peer] { return is_dialled_by(peer); },
        [this](std::uint32_t challenge) { return is_our_challenge(challenge); },
        [this](Established established) { on_established(std::move(established)); }));
    joiners_.back()->start();
  }
}

void Node::Impl::run() {
  const auto guard = asio::make_work_guard(*io_);
  while (!io_->stopped()) {
    try {
      io_->run();
    } catch (const std::exception& error) {
      // One connection's trouble (memory, say) is not everybody's.
      log::error("an event failed", {{"what", error.what()}});
    }
  }
}

/// The signals are held back from this moment on, not only once run() is called.
void Node::Impl::on_signal(const std::vector<int>& signals, std::function<void(int)> action) {
  const auto set = std::make_shared<asio::signal_set>(*io_);
  for (const int signal : signals) set->add(signal);
  wait_for_signal(set, std::make_shared<std::function<void(int)>>(std::move(action)));
}

void Node::Impl::wait_for_signal(const std::shared_ptr<asio::signal_set>& set,
                                 SignalAction action) {
  asio::post(set->get_executor(), [set, action = std::move(action)] {
    set->async_wait([set, action](std::error_code error, int signal) {
      if (error) return;
      (*action)(signal);
      wait_for_signal(set, action);
    });
  });
}

// ---- Connections
// ----------------------------------------------------------------------------------

KnownAs Node::Impl::known_as(const std::string& peer_name) const {
  if (connections_.contains(peer_name)) return KnownAs::connected;
  if (full()) return KnownAs::one_too_many;
  for (const auto& joiner : joiners_) {
    if (joiner->peer_name() == peer_name && joiner->dialling()) return KnownAs::being_dialled;
  }
  return KnownAs::unknown;
}

bool Node::Impl::is_dialled_by(const std::string& peer_name) const {
  return std::any_of(handshakes_.begin(), handshakes_.end(), [&](const auto& handshake) {
    return handshake.second->claimed_name() == peer_name;
  });
}

bool Node::Impl::is_our_challenge(std::uint32_t challenge) const {
  return std::ranges::any_of(handshakes_,
                             [&](const auto& handshake) {
                               return handshake.second->outstanding_challenge() == challenge;
                             }) ||
         std::ranges::any_of(joiners_, [&](const auto& joiner) {
           return joiner->outstanding_challenge() == challenge;
         });
}

bool Node::Impl::full() const { return connections_.size() >= options_.max_connections; }

void Node::Impl::log_refusal() {
  if (!own_lines_.allow("too many connections")) return;
  log::warning("too many connections: a new one is refused",
               {{"limit", std::to_string(options_.max_connections)}});
}

void Node::Impl::on_accepted(asio::ip::tcp::socket socket) {
  std::error_code gone;
  const auto remote = socket.remote_endpoint(gone);
  if (gone) return;
  const std::string source = handshake_source(remote.address());
  if (const auto ticket = admit(source)) begin_handshake(*ticket, source, std::move(socket));
}

std::optional<HandshakeLimiter::Ticket> Node::Impl::admit(const std::string& source) {
  const auto admission = handshake_limiter_.begin(source, HandshakeLimiter::Clock::now());
  if (!admission.ticket && may_log(source, "", "too many handshakes")) {
    log::warning("too many handshakes: a new connection is refused", {{"address", source}});
  }
  if (admission.evicted) make_room(*admission.evicted);
  return admission.ticket;
}

void Node::Impl::make_room(HandshakeLimiter::Ticket ticket) {
  const auto known = handshakes_.find(ticket);
  if (known == handshakes_.end()) return;
  const auto oldest = known->second;
  oldest->fail("made room for a newer one, too many handshakes are under way");
}

void Node::Impl::begin_handshake(HandshakeLimiter::Ticket ticket, const std::string& source,
                                 asio::ip::tcp::socket socket) {
  const auto handshaker = std::make_shared<Handshaker>(
      *io_, transports_->accepted(std::move(socket)),
      std::make_unique<Acceptor>(local_,
                                 [this](const std::string& name) { return known_as(name); }),
      [this, ticket](Established established) {
        end_handshake(ticket, true);
        on_established(std::move(established));
      },
      [this, ticket, source](const HandshakeFailure& failure) {
        end_handshake(ticket, false);
        on_handshake_failed(source, failure);
      });
  handshakes_.emplace(ticket, handshaker);
  handshaker->start(options_.handshake_timeout);
}

void Node::Impl::end_handshake(HandshakeLimiter::Ticket ticket, bool proved) {
  handshake_limiter_.end(ticket, proved);
  handshakes_.erase(ticket);
}

void Node::Impl::on_handshake_failed(const std::string& source, const HandshakeFailure& failure) {
  if (stopping_ || !may_log(source, failure.claimed_name, failure.reason)) return;
  log::warning("a handshake failed", {{"address", failure.address},
                                      {"claimed_name", log::printable(failure.claimed_name)},
                                      {"reason", failure.reason}});
}

bool Node::Impl::may_log(const std::string& source, const std::string& claimed_name,
                         const std::string& reason) {
  const auto verdict = lines_of_strangers_.ask(source, claimed_name, reason);
  if (verdict == LogLimiter::Verdict::no_room && own_lines_.allow("left out")) {
    log::warning("lines about handshakes are left out: too many addresses fail");
  }
  return verdict == LogLimiter::Verdict::write;
}

void Node::Impl::on_established(Established established) {
  if (stopping_) return established.transport->close();
  const std::string name = established.peer.name;
  const auto known = connections_.find(name);
  if (known != connections_.end()) {
    known->second->close("replaced by a new connection of the same node");
    connections_.erase(known);
  }
  if (full()) {
    established.transport->close();
    return log_refusal();
  }
  const auto connection = std::make_shared<Connection>(
      *io_, std::move(established), context_, connection_limits(),
      [this](Connection& closed, const std::string& why) { on_closed(closed, why); });
  connections_.emplace(name, connection);
  log::info("peer connected", {{"peer", log::printable(name)}, {"address", connection->address()}});
  connection->start();
}

void Node::Impl::on_closed(const Connection& connection, const std::string& why) {
  log::info("peer disconnected",
            {{"peer", log::printable(connection.peer_name())}, {"reason", why}});
  const auto known = connections_.find(connection.peer_name());
  if (known != connections_.end() && known->second.get() == &connection) connections_.erase(known);
  stop_if_idle();
}

// ---- Stop
// -----------------------------------------------------------------------------------------

void Node::Impl::reload_tls() {
  asio::post(*io_, [this] { transports_->reload(); });
}

void Node::Impl::unpublish() {
  asio::post(*io_, [this] { withdraw(); });
}

void Node::Impl::withdraw() {
  withdrawn_ = true;
  if (listener_) listener_->close();
  if (registration_) registration_->withdraw();
  for (const auto& joiner : joiners_) joiner->stop();
  const auto handshakes = std::exchange(handshakes_, {});
  for (const auto& [ticket, handshaker] : handshakes) handshaker->fail("the node ends");
}

void Node::Impl::stop(std::chrono::milliseconds linger) {
  asio::post(*io_, [this, linger] { begin_stop(linger); });
}

void Node::Impl::begin_stop(std::chrono::milliseconds linger) {
  stopping_ = true;
  withdraw();
  for (const auto& [name, connection] : connections_) connection->drain();
  linger_timer_.expires_after(linger);
  linger_timer_.async_wait([this](std::error_code error) {
    if (error) return;
    for (const auto& [name, connection] : connections_) connection->close("the node ends");
  });
  stop_if_idle();
}

void Node::Impl::stop_if_idle() {
  if (!stopping_ || !connections_.empty()) return;
  linger_timer_.cancel();
  io_->stop();
}

// ---- Node
// -----------------------------------------------------------------------------------------

Node::Node(NodeOptions options, CallHandler& handler)
    : impl_(std::make_unique<Impl>(std::move(options), handler)) {}
Node::~Node() = default;

bool Node::start() { return impl_->start(); }
void Node::run() { impl_->run(); }
void Node::on_signal(const std::vector<int>& signals, std::function<void(int)> action) {
  impl_->on_signal(signals, std::move(action));
}
void Node::reload_tls() { impl_->reload_tls(); }
void Node::unpublish() { impl_->unpublish(); }
void Node::stop(std::chrono::milliseconds linger) { impl_->stop(linger); }
std::uint16_t Node::port() const { return impl_->port(); }

}  // namespace ml_worker::distribution
