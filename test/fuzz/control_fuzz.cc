// Messages of a connected peer, from the control term to the answer. Input: a byte whose lowest
// bit says that terms have version bytes, then messages of a session, each with a length of 2
// bytes.
#include <deque>

#include "distribution/control.h"
#include "distribution/session.h"
#include "fuzz.h"
#include "ml_worker/log.h"

namespace {

using namespace ml_worker::distribution;
using ml_worker::fuzz::require;

/// Answers every second call, and keeps nobody waiting for the others.
class Handler : public CallHandler {
 public:
  CancelCall call(RemoteCall call, CallReplier reply) override {
    ByteView arguments = call.arguments.bytes();
    require(ml_worker::terms::scan_bare(arguments).has_value(), "arguments are a term");
    if (++calls_ % 2 == 0) {
      const ByteView echoed = call.arguments.bytes();
      reply({RemoteReply::Kind::returned, {echoed.begin(), echoed.end()}, {}});
    }
    return [] {};
  }

 private:
  std::size_t calls_ = 0;
};

/// What we send must be terms, or the peer drops the connection.
class Outbox final : public ml_worker::distribution::Outbox {
 public:
  void send(OutMessage message) override {
    ByteView control = message.control;
    require(ml_worker::terms::scan_bare(control).has_value() && control.empty(),
            "control is a term");
    if (!message.payload) return;
    Bytes payload = message.payload->head;
    put_bytes(payload, message.payload->tail);
    ByteView rest = payload;
    require(ml_worker::terms::scan_bare(rest).has_value() && rest.empty(), "payload is a term");
  }
  std::size_t unsent_bytes() const override { return 0; }
};

void run(ByteView input, bool versioned) {
  Handler handler;
  Outbox outbox;
  std::deque<std::function<void()>> posted;
  NodeContext context{
      "worker1@host",
      OurPids("worker1@host", 9),
      handler,
      [&posted](std::function<void()> action) { posted.push_back(std::move(action)); },
      8,
      65536,
      65536,
      65536};
  const auto session = std::make_shared<Session>(Peer{"t@host", flags::kOurs, 1}, context, outbox);
  while (input.size() >= 2) {
    const auto length = std::min<std::size_t>(WireReader(input).u16(), input.size() - 2);
    const ByteView body = input.subspan(2, length);
    input = input.subspan(2 + length);
    Message message{{body.begin(), body.end()}, 0, versioned, length, Message::Missing::nothing};
    if (session->on_message(std::move(message)) == Session::Verdict::close) break;
    for (; !posted.empty(); posted.pop_front()) posted.front()();
    require(session->calls() <= 8, "the table of calls is bounded");
  }
  session->abort();
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  ml_worker::log::configure(ml_worker::log::Format::text, ml_worker::log::Level::error);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ByteView input = ml_worker::fuzz::view(data, size);
  const bool versioned = (ml_worker::fuzz::Dice(input).roll() & 1U) != 0;
  run(input, versioned);
  return 0;
}
