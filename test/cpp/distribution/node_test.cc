// A real node on loopback, with an epmd and peers that the test plays itself.
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <mutex>
#include <thread>

#include "distribution/bytes.h"
#include "distribution/handshake.h"
#include "ml_worker/distribution.h"
#include "ml_worker/log.h"
#include "ml_worker/startup_error.h"

namespace ml_worker::distribution {
namespace {

using namespace std::chrono_literals;
using test::atom;
using test::frame_body;
using test::integer;
using test::list;
using test::operator+;
using test::tuple;
using test::with_length;

constexpr auto kPatience = 10s;

// ---- Sockets that block, with patience
// ------------------------------------------------------------

class Socket {
 public:
  explicit Socket(int descriptor) : descriptor_(descriptor) {}
  Socket(Socket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~Socket() { close(); }

  int descriptor() const { return descriptor_; }
  void close() {
    if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
  }

  /// False when the other side has closed.
  bool write(ByteView bytes) const {
    while (!bytes.empty()) {
      const ssize_t count = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count <= 0) return false;
      bytes = bytes.subspan(static_cast<std::size_t>(count));
    }
    return true;
  }

  bool readable() const {
    pollfd wait{descriptor_, POLLIN, 0};
    return ::poll(&wait, 1, static_cast<int>(std::chrono::milliseconds(kPatience).count())) == 1;
  }

  /// Nothing when the other side has closed. Fails the test after `kPatience`.
  std::optional<Bytes> read(std::size_t size) const {
    Bytes out(size);
    for (std::size_t have = 0; have < size;) {
      if (!readable()) throw std::runtime_error("nothing came");
      const ssize_t count = ::recv(descriptor_, out.data() + have, size - have, 0);
      if (count <= 0) return std::nullopt;
      have += static_cast<std::size_t>(count);
    }
    return out;
  }

  std::optional<Bytes> read_frame(std::size_t prefix_bytes) const {
    const auto prefix = read(prefix_bytes);
    if (!prefix) return std::nullopt;
    return read(static_cast<std::size_t>(WireReader(*prefix).number(prefix_bytes)));
  }

 private:
  int descriptor_;
};

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

Socket connect_to(std::uint16_t port) {
  Socket socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = loopback(port);
  REQUIRE(::connect(socket.descriptor(), reinterpret_cast<const sockaddr*>(&address),
                    sizeof address) == 0);
  return socket;
}

Socket listen_on_any_port() {
  Socket socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = loopback(0);
  REQUIRE(::bind(socket.descriptor(), reinterpret_cast<const sockaddr*>(&address),
                 sizeof address) == 0);
  REQUIRE(::listen(socket.descriptor(), 64) == 0);
  return socket;
}

std::uint16_t port_of(const Socket& socket) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  ::getsockname(socket.descriptor(), reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.sin_port);
}

std::optional<Socket> accept_from(const Socket& listener) {
  if (!listener.readable()) return std::nullopt;
  const int descriptor = ::accept4(listener.descriptor(), nullptr, nullptr, SOCK_CLOEXEC);
  if (descriptor < 0) return std::nullopt;
  return Socket(descriptor);
}

/// An epmd that says yes, or "taken", to every registration, until its listener is shut down.
class FakeEpmd {
 public:
  explicit FakeEpmd(bool taken = false)
      : taken_(taken), listener_(listen_on_any_port()), thread_([this] { serve(); }) {}
  ~FakeEpmd() {
    stopping_ = true;
    ::shutdown(listener_.descriptor(), SHUT_RDWR);
    thread_.join();
  }

  std::uint16_t port() const { return port_of(listener_); }
  int registrations() const { return registrations_; }
  std::uint8_t node_type() const { return node_type_; }

  /// As if epmd died: the nodes see the end of their connections.
  void drop_registrations() {
    const std::lock_guard lock(mutex_);
    registered_.clear();
  }
  /// Answers to look-ups of any name.
  void set_looked_up_port(std::uint16_t port) { looked_up_port_ = port; }

 private:
  void serve() {
    while (!stopping_) {
      auto socket = accept_from(listener_);
      if (!socket || stopping_) continue;
      const auto request = socket->read_frame(2);
      if (!request) continue;
      answer(std::move(*socket), *request);
    }
  }

  void answer(Socket socket, const Bytes& request) {
    if (request[0] == 122) {
      Bytes response = test::bytes({119, 0});
      put_number(response, 2, looked_up_port_);
      socket.write(response + test::bytes({77, 0, 0, 6, 0, 5, 0, 0, 0, 0}));
      return;
    }
    // All is kept when the node gets to know.
    const std::lock_guard lock(mutex_);
    node_type_ = static_cast<std::uint8_t>(request[3]);
    ++registrations_;
    socket.write(test::bytes({118, taken_ ? 1 : 0, 0, 0, 0, 5}));
    if (!taken_) registered_.push_back(std::move(socket));
  }

  bool taken_;
  Socket listener_;
  std::mutex mutex_;
  std::vector<Socket> registered_;
  std::atomic<int> registrations_{0};
  std::atomic<std::uint8_t> node_type_{0};
  std::atomic<std::uint16_t> looked_up_port_{0};
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

// ---- A node that echoes
// ---------------------------------------------------------------------------

class Echo : public CallHandler {
 public:
  CancelCall call(RemoteCall call, CallReplier reply) override {
    if (call.function == "wait") return [this] { ++cancelled; };
    const ByteView arguments = call.arguments.bytes();
    // Replies come from other threads in life.
    std::thread([reply, term = Bytes(arguments.begin(), arguments.end())] {
      reply({RemoteReply::Kind::returned, term, {}});
    }).join();
    return {};
  }
  std::atomic<int> cancelled{0};
};

class RunningNode {
 public:
  explicit RunningNode(const FakeEpmd& epmd, NodeOptions changed = {})
      : node_(options(epmd, std::move(changed)), echo) {
    node_.start();
    thread_ = std::thread([this] { node_.run(); });
  }
  ~RunningNode() { stop(1s); }

  void stop(std::chrono::milliseconds linger) {
    if (!thread_.joinable()) return;
    node_.stop(linger);
    thread_.join();
  }
  Socket connect() const { return connect_to(node_.port()); }

  Echo echo;

 private:
  static NodeOptions options(const FakeEpmd& epmd, NodeOptions changed) {
    changed.name = "worker1@127.0.0.1";
    changed.cookie = "secret";
    changed.listen_address = "127.0.0.1";
    changed.epmd_port = epmd.port();
    changed.start_epmd = false;
    return changed;
  }

  Node node_;
  std::thread thread_;
};

/// A peer that reads pass-through frames; messages_test and send_queue_test have the others.
constexpr std::uint64_t kPeerFlags = flags::kOurs & ~flags::kFragments;

const Bytes kCaller = test::pid("t@host", 1);
const Bytes kRequest = test::reference("t@host", 3);
const Bytes kResult = test::reference("t@host", 4);

Bytes ping() {
  return with_length(
      4, frame_body(tuple({integer(6), kCaller, atom(""), atom("net_kernel")}),
                    tuple({atom("$gen_call"), tuple({kCaller, test::alias_tag(kRequest)}),
                           tuple({atom("is_auth"), atom("t@host")})})));
}

Bytes pong() {
  return frame_body(tuple({integer(2), atom(""), kCaller}),
                    tuple({test::alias_tag(kRequest), atom("yes")}));
}

Bytes call(const std::string& function, const Bytes& arguments) {
  return with_length(4, frame_body(tuple({integer(29), kRequest, kCaller, kCaller,
                                          tuple({atom("erpc"), atom("execute_call"), integer(4)}),
                                          list({atom("monitor")})}),
                                   list({kResult, atom("ml_worker"), atom(function), arguments})));
}

/// The dialling side, as far as it gets: true if the node takes us.
bool shake_hands(const Socket& socket, const std::string& name, const std::string& cookie) {
  socket.write(with_length(2, encode(NameMessage{6, kPeerFlags, 7, name})));
  auto status = socket.read_frame(2);
  if (status == test::text("salive")) {
    socket.write(with_length(2, test::text("strue")));
  } else if (status != test::text("sok")) {
    return false;
  }
  const auto challenge = parse_challenge(socket.read_frame(2).value_or(Bytes{}));
  if (!challenge) return false;
  const ChallengeReply reply{1, challenge_digest(cookie, challenge->challenge)};
  socket.write(with_length(2, encode(reply)));
  const auto ack = parse_challenge_ack(socket.read_frame(2).value_or(Bytes{}));
  return ack && ack->digest == challenge_digest("secret", 1);
}

Socket connect_as(const RunningNode& node, const std::string& name) {
  Socket socket = node.connect();
  REQUIRE(shake_hands(socket, name, "secret"));
  return socket;
}

/// The next frame that is no tick.
std::optional<Bytes> next_frame(const Socket& socket) {
  for (;;) {
    auto frame = socket.read_frame(4);
    if (!frame || !frame->empty()) return frame;
  }
}

void check_answers(const Socket& socket) {
  REQUIRE(socket.write(ping()));
  CHECK(next_frame(socket) == pong());
}

void check_closed(const Socket& socket) { CHECK_FALSE(next_frame(socket)); }

template <typename Condition>
bool eventually(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(5ms);
  }
  return true;
}

// ---- The cases
// ------------------------------------------------------------------------------------

TEST_CASE("a node registers as hidden, takes a peer, answers pings and calls") {
  const FakeEpmd epmd;
  const RunningNode node(epmd);
  CHECK(epmd.registrations() == 1);
  CHECK(epmd.node_type() == 72);
  const Socket peer = connect_as(node, "t@host");
  check_answers(peer);
  peer.write(call("echo", list({integer(5)})));
  const auto spawned = next_frame(peer);
  const auto down = next_frame(peer);
  REQUIRE(spawned);
  REQUIRE(down);
  const Bytes reason = test::versioned(tuple({kResult, atom("return"), list({integer(5)})}));
  CHECK(std::equal(reason.rbegin(), reason.rend(), down->rbegin()));
}

TEST_CASE("a frame cut at any byte harms nobody, and nothing is answered to half a frame") {
  const FakeEpmd epmd;
  const RunningNode node(epmd);
  const Socket witness = connect_as(node, "witness@host");
  const Bytes whole = call("echo", list({integer(5)}));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const Socket peer = connect_as(node, "t@host");
    peer.write(ByteView(whole).first(size));
    ::shutdown(peer.descriptor(), SHUT_WR);
    check_closed(peer);
  }
  check_answers(witness);
}

TEST_CASE("a frame that comes byte by byte is one frame") {
  const FakeEpmd epmd;
  const RunningNode node(epmd);
  const Socket peer = connect_as(node, "t@host");
  for (const char byte : ping()) peer.write(Bytes{byte});
  CHECK(next_frame(peer) == pong());
}

TEST_CASE("what is sent with the last word of the handshake is read") {
  const FakeEpmd epmd;
  const RunningNode node(epmd);
  const Socket peer = node.connect();
  peer.write(with_length(2, encode(NameMessage{6, kPeerFlags, 7, "t@host"})));
  peer.read_frame(2);
  const auto challenge = parse_challenge(*peer.read_frame(2));
  const ChallengeReply reply{1, challenge_digest("secret", challenge->challenge)};
  peer.write(with_length(2, encode(reply)) + ping());
  CHECK(peer.read_frame(2));
  CHECK(next_frame(peer) == pong());
}

TEST_CASE("a wrong cookie is cut, as are handshakes in the wrong order and of the wrong size") {
  const FakeEpmd epmd;
  const RunningNode node(epmd);
  CHECK_FALSE(shake_hands(node.connect(), "t@host", "wrong"));
  for (const Bytes& nonsense :
       {with_length(2, encode(ChallengeReply{})), with_length(2, Bytes(2000, 'N')),
        test::bytes({0, 0}), test::text("GET / HTTP/1.1\r\n\r\n"), test::bytes({255, 255, 'N'})}) {
    const Socket peer = node.connect();
    peer.write(nonsense);
    ::shutdown(peer.descriptor(), SHUT_WR);
    CHECK_FALSE(peer.read_frame(2));
  }
  check_answers(connect_as(node, "t@host"));
}

TEST_CASE("lengths that no frame has do not hurt others") {
  const FakeEpmd epmd;
  const RunningNode node(epmd);
  const Socket witness = connect_as(node, "witness@host");
  for (const std::uint32_t length : {0x7fffffffU, 0x80000000U, 0xffffffffU}) {
    const Socket peer = connect_as(node, "t@host");
    Bytes head;
    put_number(head, 4, length);
    peer.write(head + Bytes(100000, 'x'));  // no control term: closed as soon as that is clear
    check_closed(peer);
    check_answers(witness);
  }
}

TEST_CASE("a nesting bomb costs its sender the connection, unknown operations nothing") {
  const FakeEpmd epmd;
  const RunningNode node(epmd);
  const Socket peer = connect_as(node, "t@host");
  peer.write(with_length(4, frame_body(tuple({integer(99), kCaller}))));
  check_answers(peer);
  Bytes bomb = test::bytes({'p', 131});
  for (int i = 0; i < 5000000; ++i) put_bytes(bomb, test::bytes({104, 1}));
  peer.write(with_length(4, bomb));
  check_closed(peer);
  check_answers(connect_as(node, "t@host"));
}

TEST_CASE("silent clients are cut by one deadline, however they trickle") {
  const FakeEpmd epmd;
  NodeOptions options;
  options.handshake_timeout = 300ms;
  const RunningNode node(epmd, options);
  std::vector<Socket> clients;
  for (int i = 0; i < 500; ++i) clients.push_back(node.connect());
  const Socket trickling = node.connect();
  const auto start = std::chrono::steady_clock::now();
  const Bytes hello = with_length(2, encode(NameMessage{6, kPeerFlags, 7, "t@host"}));
  for (std::size_t i = 0; i < 10; ++i) {
    std::this_thread::sleep_for(20ms);
    trickling.write(Bytes{hello[i]});
  }
  CHECK_FALSE(trickling.read_frame(2));
  CHECK(std::chrono::steady_clock::now() - start < 5s);
  for (const Socket& client : clients) CHECK_FALSE(client.read_frame(2));
  check_answers(connect_as(node, "t@host"));
}

TEST_CASE("a proved connection of the same name replaces the old one and aborts its calls") {
  const FakeEpmd epmd;
  RunningNode node(epmd);
  const Socket first = connect_as(node, "t@host");
  first.write(call("wait", list({})));
  CHECK(next_frame(first));
  // Not proved: the old one stays.
  CHECK_FALSE(shake_hands(node.connect(), "t@host", "wrong"));
  check_answers(first);
  const Socket second = connect_as(node, "t@host");
  check_closed(first);
  CHECK(eventually([&] { return node.echo.cancelled == 1; }));
  check_answers(second);
}

TEST_CASE("a peer that disconnects takes its calls along") {
  const FakeEpmd epmd;
  RunningNode node(epmd);
  Socket peer = connect_as(node, "t@host");
  for (int i = 0; i < 10; ++i) peer.write(call("wait", list({})));
  for (int i = 0; i < 10; ++i) CHECK(next_frame(peer));
  peer.close();
  CHECK(eventually([&] { return node.echo.cancelled == 10; }));
}

TEST_CASE("an idle peer gets ticks, a silent one is given up") {
  const FakeEpmd epmd;
  NodeOptions options;
  options.tick_interval = 50ms;
  options.peer_timeout = 1s;
  const RunningNode node(epmd, options);
  const Socket peer = connect_as(node, "t@host");
  int ticks = 0;
  int questions = 0;
  while (const auto frame = peer.read_frame(4)) ++(frame->empty() ? ticks : questions);
  CHECK(ticks >= 2);
  CHECK(ticks <= 21);
  CHECK(questions == 1);
}

TEST_CASE("a peer that never ticks stays as long as it answers") {
  const FakeEpmd epmd;
  NodeOptions options;
  options.peer_timeout = 500ms;
  const RunningNode node(epmd, options);
  const Socket peer = connect_as(node, "t@host");
  for (int i = 0; i < 4; ++i) {
    const auto question = next_frame(peer);
    REQUIRE(question);
    // {19, Pid, undefined, Ref}: the answer is noproc.
    CHECK(std::ranges::search(*question, atom("undefined")).begin() != question->end());
    peer.write(with_length(
        4, frame_body(tuple({integer(21), atom("undefined"), kCaller, kRequest, atom("noproc")}))));
  }
  check_answers(peer);
}

TEST_CASE("an idle peer hears of us once per interval: a tick does not count as something said") {
  const FakeEpmd epmd;
  NodeOptions options;
  options.tick_interval = 200ms;
  const RunningNode node(epmd, options);
  const Socket peer = connect_as(node, "t@host");
  auto shortest = std::chrono::steady_clock::duration::max();
  auto last = std::chrono::steady_clock::now();
  for (int tick = 0; tick < 6; ++tick) {
    REQUIRE(peer.read(4) == Bytes(4, '\0'));
    const auto now = std::chrono::steady_clock::now();
    if (tick > 0) shortest = std::min(shortest, now - last);
    last = now;
  }
  CHECK(shortest < 300ms);
}

TEST_CASE("a peer that does not read is cut and hurts nobody else") {
  const FakeEpmd epmd;
  NodeOptions options;
  options.send_timeout = 300ms;
  const RunningNode node(epmd, options);
  const Socket witness = connect_as(node, "witness@host");
  const Socket peer = connect_as(node, "t@host");
  Bytes binary;
  terms::Writer(binary).binary(std::string(std::size_t{16} << 20, 'x'));
  peer.write(call("echo", list({binary})));
  check_answers(witness);
  // Nothing is read here until the node has given up: then the reply ends too early.
  std::this_thread::sleep_for(800ms);
  std::size_t read = 0;
  while (peer.read(65536)) read += 65536;
  CHECK(read < (std::size_t{16} << 20));
  check_answers(witness);
}

TEST_CASE("a node whose epmd went away registers again, and keeps its peers") {
  FakeEpmd epmd;
  const RunningNode node(epmd);
  const Socket peer = connect_as(node, "t@host");
  epmd.drop_registrations();
  CHECK(eventually([&] { return epmd.registrations() == 2; }));
  check_answers(peer);
}

TEST_CASE("a taken name stops the start, after some patience") {
  const FakeEpmd epmd(true);
  NodeOptions options;
  options.registration_timeout = 1s;
  try {
    const RunningNode node(epmd, options);
    FAIL("the node started");
  } catch (const StartupError& error) {
    CHECK(error.code() == ExitCode::name_taken);
  }
  CHECK(epmd.registrations() > 2);
}

TEST_CASE(
    "a node that is told to stop while its name is taken ends at once, and without an error") {
  const FakeEpmd epmd(true);
  NodeOptions options;
  options.name = "worker1@127.0.0.1";
  options.listen_address = "127.0.0.1";
  options.epmd_port = epmd.port();
  Echo echo;
  Node node(options, echo);
  std::thread stopper([&] {
    CHECK(eventually([&] { return epmd.registrations() >= 2; }));
    node.unpublish();
    node.stop(0s);
  });
  const auto begun = std::chrono::steady_clock::now();
  CHECK_FALSE(node.start());
  node.run();
  CHECK(std::chrono::steady_clock::now() - begun < options.registration_timeout / 2);
  stopper.join();
}

TEST_CASE("connections over the limit are refused") {
  const FakeEpmd epmd;
  NodeOptions options;
  options.max_connections = 2;
  const RunningNode node(epmd, options);
  const Socket first = connect_as(node, "a@host");
  const Socket second = connect_as(node, "b@host");
  check_answers(second);
  const Socket third = node.connect();
  CHECK_FALSE(shake_hands(third, "c@host", "secret"));
  CHECK_FALSE(third.read_frame(2));
  check_answers(first);
  check_answers(second);
}

TEST_CASE("a node that comes again has its own place, however many are connected") {
  const FakeEpmd epmd;
  NodeOptions options;
  options.max_connections = 2;
  const RunningNode node(epmd, options);
  const Socket first = connect_as(node, "a@host");
  const Socket lost = connect_as(node, "b@host");
  const Socket again = connect_as(node, "b@host");
  check_answers(again);
  check_closed(lost);
  check_answers(first);
}

TEST_CASE("half-open connections that fill the table keep nobody out") {
  const FakeEpmd epmd;
  NodeOptions options;
  options.max_handshakes = 20;
  const RunningNode node(epmd, options);
  std::vector<Socket> silent;
  for (int i = 0; i < 50; ++i) silent.push_back(node.connect());
  check_answers(connect_as(node, "t@host"));
  // Half of 20 may be under way from one address, the genuine one had one of those.
  for (std::size_t i = 0; i < 41; ++i) CHECK_FALSE(silent[i].read_frame(2));
  CHECK(shake_hands(silent.back(), "late@host", "secret"));
}

TEST_CASE(
    "an address that begins too many handshakes is refused, one that proves the cookie is not") {
  const FakeEpmd epmd;
  NodeOptions options;
  options.handshake_rate = 1;
  const RunningNode node(epmd, options);
  for (int i = 0; i < 30; ++i) check_answers(connect_as(node, "t@host"));
  int refused = 0;
  for (int i = 0; i < 30; ++i) {
    const Socket peer = node.connect();
    peer.write(with_length(2, encode(NameMessage{6, kPeerFlags, 7, "x@host"})));
    if (!peer.read_frame(2)) ++refused;
  }
  CHECK(refused >= 1);
}

TEST_CASE("stop sends what waits and closes") {
  const FakeEpmd epmd;
  RunningNode node(epmd);
  const Socket peer = connect_as(node, "t@host");
  peer.write(call("echo", list({integer(5)})));
  CHECK(next_frame(peer));
  CHECK(next_frame(peer));
  std::thread stopping([&] { node.stop(5s); });
  check_closed(peer);
  ::shutdown(peer.descriptor(), SHUT_RDWR);
  stopping.join();
}

/// The dialled side of a handshake with a node that joins.
void accept_join(const Socket& socket) {
  const auto name = parse_name(socket.read_frame(2).value_or(Bytes{}));
  REQUIRE(name);
  CHECK(name->name == "worker1@127.0.0.1");
  socket.write(with_length(2, test::text("sok")));
  const ChallengeMessage challenge{kPeerFlags, 42, 3, "front@127.0.0.1"};
  socket.write(with_length(2, encode(challenge)));
  const auto reply = parse_challenge_reply(socket.read_frame(2).value_or(Bytes{}));
  REQUIRE(reply);
  CHECK(reply->digest == challenge_digest("secret", 42));
  const ChallengeAck ack{challenge_digest("secret", reply->challenge)};
  socket.write(with_length(2, encode(ack)));
}

/// A front that listens, and an epmd that knows where.
struct FrontToJoin {
  FrontToJoin() { epmd.set_looked_up_port(port_of(socket)); }
  static NodeOptions options() {
    NodeOptions options;
    options.join = {"front@127.0.0.1"};
    return options;
  }
  FakeEpmd epmd;
  const Socket socket = listen_on_any_port();
};

TEST_CASE("a node joins a front, and again when the connection was lost") {
  const FrontToJoin front;
  const RunningNode node(front.epmd, front.options());
  for (int i = 0; i < 2; ++i) {
    const auto worker = accept_from(front.socket);
    REQUIRE(worker);
    accept_join(*worker);
    check_answers(*worker);
  }
}

TEST_CASE("whoever plays the front a challenge of the node's own is not let in") {
  const FrontToJoin front;
  const RunningNode node(front.epmd, front.options());
  const auto worker = accept_from(front.socket);
  REQUIRE(worker);
  REQUIRE(worker->read_frame(2));
  const Socket evil = node.connect();
  evil.write(with_length(2, encode(NameMessage{6, kPeerFlags, 7, "evil@host"})));
  REQUIRE(evil.read_frame(2) == test::text("sok"));
  const auto challenge = parse_challenge(evil.read_frame(2).value_or(Bytes{}));
  REQUIRE(challenge);
  const ChallengeMessage reflected{kPeerFlags, challenge->challenge, 3, "front@127.0.0.1"};
  worker->write(with_length(2, test::text("sok")) + with_length(2, encode(reflected)));
  CHECK_FALSE(worker->read_frame(2));
}

TEST_CASE("an address that is none stops the start") {
  const FakeEpmd epmd;
  Echo echo;
  NodeOptions options;
  options.name = "w@127.0.0.1";
  options.listen_address = "nowhere";
  options.epmd_port = epmd.port();
  Node node(options, echo);
  CHECK_THROWS_AS(node.start(), StartupError);
}

}  // namespace
}  // namespace ml_worker::distribution
