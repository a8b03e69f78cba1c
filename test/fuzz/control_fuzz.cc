// Messages of a connected peer, from the control term to the frames of the answer. Input: a byte of
// which bit 0 says that terms have version bytes, 1 that EXIT_PAYLOAD is not in force, 2 that the
// first empty binary of a message stands for a large one, 3 that replies are large, 4 that there
// are two peers, in turn, and 5 and 6 that of every second message only the beginning is there, for
// the one reason or the other; then messages of a session, each with a length of 2 bytes.
#include <algorithm>
#include <array>
#include <deque>

#include "distribution/control.h"
#include "distribution/messages.h"
#include "distribution/send_queue.h"
#include "distribution/session.h"
#include "fuzz.h"
#include "ml_worker/log.h"

namespace {

using namespace ml_worker::distribution;
using ml_worker::fuzz::require;

constexpr std::size_t kLargeBytes = 100000;  ///< does not fit into a fragment

struct Ways {
  bool versioned;
  bool exit_payload;
  bool large_binaries;
  bool large_replies;
  bool two_peers;
  Message::Missing missing;
};

Message::Missing missing_of(unsigned ways) {
  if ((ways & 32U) != 0) return Message::Missing::too_large;
  return (ways & 64U) != 0 ? Message::Missing::no_room : Message::Missing::nothing;
}

Bytes binary_of(std::size_t size) {
  Bytes out;
  ml_worker::terms::Writer(out).binary(std::string(size, 'x'));
  return out;
}

/// Answers every second call, and keeps nobody waiting for the others.
class Handler : public CallHandler {
 public:
  explicit Handler(bool large_replies) : large_replies_(large_replies) {}

  CancelCall call(RemoteCall call, CallReplier reply) override {
    ByteView arguments = call.arguments.bytes();
    require(ml_worker::terms::scan_bare(arguments).has_value(), "arguments are a term");
    if (++calls_ % 2 == 0) {
      const ByteView echoed = call.arguments.bytes();
      reply({RemoteReply::Kind::returned,
             large_replies_ ? binary_of(kLargeBytes) : Bytes{echoed.begin(), echoed.end()},
             {}});
    }
    return [] {};
  }

 private:
  bool large_replies_;
  std::size_t calls_ = 0;
};

/// What we send must be terms, or the peer drops the connection; and it must come out of the frames
/// as it went in.
class Outbox final : public ml_worker::distribution::Outbox {
 public:
  void send(OutMessage message) override {
    ByteView control = message.control;
    require(ml_worker::terms::scan_bare(control).has_value() && control.empty(),
            "control is a term");
    Bytes sent = message.control;
    if (message.payload) {
      Bytes payload = message.payload->head;
      put_bytes(payload, message.payload->tail_bytes());
      ByteView rest = payload;
      require(ml_worker::terms::scan_bare(rest).has_value() && rest.empty(), "payload is a term");
      put_bytes(sent, payload);
    }
    queue_.push(std::move(message));
    require(drained() == sent, "the frames are the message");
  }
  std::size_t unsent_bytes() const override { return queue_.bytes(); }

 private:
  /// What a peer reads of all that waits, which is one message.
  Bytes drained() {
    Bytes read;
    while (!queue_.empty()) {
      std::size_t written = 0;
      for (ByteView view : queue_.next()) {
        written += view.size();
        feed(view, read);
      }
      queue_.written(written);
    }
    return read;
  }

  void feed(ByteView bytes, Bytes& read) {
    while (!bytes.empty()) {
      if (splitter_.feed(bytes) != FrameSplitter::Event::frame) continue;
      const auto event = reader_.feed(splitter_.take());
      require(event != MessageReader::Event::malformed, "a frame has a header");
      if (event != MessageReader::Event::message) continue;
      const Message message = reader_.take();
      put_bytes(read, ByteView(message.bytes).subspan(message.start));
    }
  }

  SendQueue queue_{true};
  FrameSplitter splitter_{4, std::size_t{1} << 30};
  MessageReader reader_{{std::size_t{1} << 30, std::size_t{1} << 30, 1000}};
};

/// The message with its first empty binary made a large one.
Bytes enlarged(ByteView body) {
  constexpr std::array<char, 5> kEmpty{'m', 0, 0, 0, 0};
  const auto found = std::search(body.begin(), body.end(), kEmpty.begin(), kEmpty.end());
  Bytes out(body.begin(), found);
  if (found == body.end()) return out;
  put_bytes(out, binary_of(kLargeBytes));
  out.insert(out.end(), found + kEmpty.size(), body.end());
  return out;
}

void run(ByteView input, const Ways& ways) {
  Handler handler(ways.large_replies);
  std::deque<std::function<void()>> posted;
  NodeContext context{
      "worker1@host",
      OurPids("worker1@host", 9),
      handler,
      [&posted](std::function<void()> action) { posted.push_back(std::move(action)); },
      8,
      std::size_t{1} << 20,
      std::size_t{1} << 20,
      std::size_t{1} << 20};
  const auto in_force = ways.exit_payload ? flags::kOurs : flags::kOurs & ~flags::kExitPayload;
  std::array<Outbox, 2> outboxes;
  std::vector<std::shared_ptr<Session>> sessions;
  for (Outbox& outbox : outboxes) {
    sessions.push_back(std::make_shared<Session>(Peer{"t@host", in_force, 1}, context, outbox));
  }
  std::size_t turn = 0;
  while (input.size() >= 2) {
    const auto length = std::min<std::size_t>(WireReader(input).u16(), input.size() - 2);
    const ByteView body = input.subspan(2, length);
    input = input.subspan(2 + length);
    Bytes bytes = ways.large_binaries ? enlarged(body) : Bytes{body.begin(), body.end()};
    const auto missing = turn % 2 == 0 ? ways.missing : Message::Missing::nothing;
    const std::size_t unseen = missing == Message::Missing::nothing ? 0 : kLargeBytes;
    const std::size_t sent = bytes.size() + unseen;
    Message message{std::move(bytes), 0, ways.versioned, sent, missing};
    Session& session = *sessions[ways.two_peers ? turn % 2 : 0];
    ++turn;
    if (session.on_message(std::move(message)) == Session::Verdict::close) break;
    for (; !posted.empty(); posted.pop_front()) posted.front()();
    require(context.owners.size() <= 8, "the table of calls is bounded");
  }
  for (auto& session : sessions) {
    session->abort();
    session.reset();
  }
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  ml_worker::log::configure(ml_worker::log::Format::text, ml_worker::log::Level::error);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ByteView input = ml_worker::fuzz::view(data, size);
  const unsigned ways = ml_worker::fuzz::Dice(input).roll();
  run(input, {(ways & 1U) != 0, (ways & 2U) == 0, (ways & 4U) != 0, (ways & 8U) != 0,
              (ways & 16U) != 0, missing_of(ways)});
  return 0;
}
