// The examples of docs/PROTOCOL.md are what our code writes and reads.

#include <catch2/catch.hpp>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "distribution/bytes.h"
#include "distribution/epmd.h"
#include "distribution/handshake.h"
#include "distribution/send_queue.h"
#include "distribution/session.h"

namespace ml_worker::distribution {
namespace {

using test::atom;

/// One of the page's blocks "```hex NAME": bytes as two hex digits, "text", and [N] for N bytes
/// that are not shown; a comment follows a semicolon.
class Example {
 public:
  explicit Example(const std::string& name) {
    std::ifstream page(ML_WORKER_SOURCE_DIR "/docs/PROTOCOL.md");
    std::string line;
    while (std::getline(page, line) && line != "```hex " + name) {
    }
    REQUIRE(page);
    while (std::getline(page, line) && line != "```") add(line.substr(0, line.find(';')));
  }

  /// REQUIRES: all of it is shown.
  Bytes bytes() const {
    Bytes out;
    for (const auto& byte : bytes_) out.push_back(byte.value());
    return out;
  }

  bool matches(const Bytes& given) const {
    return std::equal(bytes_.begin(), bytes_.end(), given.begin(), given.end(),
                      [](const auto& shown, char byte) { return !shown || *shown == byte; });
  }

 private:
  void add(const std::string& line) {
    std::istringstream words(line);
    for (std::string word; words >> word;) {
      if (word.front() == '"') {
        for (const char c : word.substr(1, word.size() - 2)) bytes_.emplace_back(c);
      } else if (word.front() == '[') {
        bytes_.insert(bytes_.end(), std::stoul(word.substr(1)), std::nullopt);
      } else {
        bytes_.emplace_back(static_cast<char>(std::stoi(word, nullptr, 16)));
      }
    }
  }

  std::vector<std::optional<char>> bytes_;
};

Bytes example(const std::string& name) { return Example(name).bytes(); }

/// A message of the handshake as it stands on the page, without its length.
Bytes unprefixed(const std::string& name) {
  const Bytes all = example(name);
  REQUIRE(all.size() > 2);
  REQUIRE(WireReader(all).u16() == all.size() - 2);
  return {all.begin() + 2, all.end()};
}

TEST_CASE("docs/PROTOCOL.md: epmd") {
  CHECK(epmd::alive2_request("worker1", 40000) == example("alive2_req"));
  const auto registered = epmd::parse_alive2_response(example("alive2_x_resp"));
  CHECK(registered.state == epmd::Parse<epmd::Alive2Response>::State::complete);
  CHECK(registered.value.accepted);
  CHECK(epmd::port_please2_request("front") == example("port_please2_req"));
  const auto found = epmd::parse_port2_response(example("port2_resp"));
  CHECK(found.state == epmd::Parse<epmd::Port2Response>::State::complete);
  CHECK(found.value.found);
  CHECK(found.value.port == 40001);
  CHECK(found.value.highest_version == 6);
  CHECK_FALSE(epmd::parse_port2_response(example("port2_resp_none")).value.found);
}

constexpr std::uint32_t kWorkerCreation = 7;
constexpr std::uint32_t kOurChallenge = 12345;
constexpr std::uint32_t kTheirChallenge = 0xdeadbeef;

LocalNode worker() { return {"worker1@h", "secret", kWorkerCreation}; }

TEST_CASE("docs/PROTOCOL.md: a node dials the worker") {
  Acceptor acceptor(
      worker(), [](const std::string&) { return KnownAs::unknown; }, [] { return kOurChallenge; });
  const HandshakeStep named = acceptor.on_message(unprefixed("send_name"));
  CHECK(named.send == std::vector<Bytes>{unprefixed("status"), unprefixed("challenge")});
  const HandshakeStep proved = acceptor.on_message(unprefixed("challenge_reply"));
  CHECK(proved.send == std::vector<Bytes>{unprefixed("challenge_ack")});
  REQUIRE(proved.established);
  CHECK(proved.established->name == "t@h");
  CHECK((proved.established->flags & flags::kFragments) != 0);
}

TEST_CASE("docs/PROTOCOL.md: the worker dials a node") {
  Initiator initiator(
      {"t@h", "secret", 5}, "worker1@h", [] { return false; }, [](std::uint32_t) { return false; },
      [] { return kTheirChallenge; });
  CHECK(initiator.start().send == std::vector<Bytes>{unprefixed("send_name_of_a_worker")});
  CHECK(initiator.on_message(unprefixed("status")).failure.empty());
  CHECK(initiator.on_message(unprefixed("challenge")).send ==
        std::vector<Bytes>{unprefixed("challenge_reply")});
  CHECK(initiator.on_message(unprefixed("challenge_ack")).established);
}

/// Answers every call with `ok`, later.
class Healthy : public CallHandler {
 public:
  CancelCall call(RemoteCall call, CallReplier reply) override {
    CHECK(call.module == "ml_worker");
    CHECK(call.function == "health");
    answer = [reply = std::move(reply)] { reply({RemoteReply::Kind::returned, atom("ok"), {}}); };
    return [] {};
  }

  std::function<void()> answer;
};

/// What a session sends, as bytes on the wire.
class Wire : public Outbox {
 public:
  void send(OutMessage message) override { queue_.push(std::move(message)); }
  std::size_t unsent_bytes() const override { return queue_.bytes(); }

  Bytes take() {
    Bytes out;
    while (!queue_.empty()) {
      const std::size_t before = out.size();
      for (const ByteView view : queue_.next()) put_bytes(out, view);
      queue_.written(out.size() - before);
    }
    return out;
  }

 private:
  SendQueue queue_{true};
};

Message whole_message(const Bytes& stream) {
  FrameSplitter splitter(4, stream.size());
  ByteView rest(stream);
  REQUIRE(splitter.feed(rest) == FrameSplitter::Event::frame);
  REQUIRE(rest.empty());
  MessageReader reader({stream.size(), stream.size(), 1});
  REQUIRE(reader.feed(splitter.take()) == MessageReader::Event::message);
  return reader.take();
}

TEST_CASE("docs/PROTOCOL.md: a call and its answers") {
  Healthy handler;
  Wire wire;
  const std::size_t room = std::size_t{1} << 20;
  NodeContext context{"worker1@h", OurPids("worker1@h", kWorkerCreation),
                      handler,     [](const std::function<void()>& action) { action(); },
                      1,           room,
                      room,        room};
  const auto session = std::make_shared<Session>(Peer{"t@h", flags::kOurs, 5}, context, wire);
  CHECK(session->on_message(whole_message(example("call"))) == Session::Verdict::keep);
  CHECK(wire.take() == example("spawn_reply"));
  REQUIRE(handler.answer);
  handler.answer();
  CHECK(wire.take() == example("down"));
}

TEST_CASE("docs/PROTOCOL.md: a message in fragments") {
  Wire wire;
  constexpr std::size_t kLastBytes = 1000;
  Bytes control = atom("control");
  Bytes payload(2 * SendQueue::kFragmentBytes + kLastBytes - control.size(), 'x');
  wire.send({std::move(control), TermParts{{}, share(std::move(payload))}});
  CHECK(Example("fragments").matches(wire.take()));
}

}  // namespace
}  // namespace ml_worker::distribution
