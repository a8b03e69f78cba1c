// The stream of a connection: frames, and messages that come in fragments. Input: a byte that says
// how large the pieces are that the stream comes in, then the stream.
#include "distribution/frames.h"
#include "distribution/messages.h"
#include "fuzz.h"

namespace {

using namespace ml_worker::distribution;
using ml_worker::fuzz::require;

constexpr std::size_t kMaxFrame = 4096;
constexpr ReassemblyLimits kLimits{8192, 16384, 4};

/// What a stream turned out to be, the same in pieces of any size.
struct Seen {
  std::size_t frames = 0;
  std::size_t ticks = 0;
  std::size_t messages = 0;
  std::size_t bytes = 0;
  bool malformed = false;
  bool operator==(const Seen&) const = default;
};

void on_frame(Frame frame, MessageReader& reader, Seen& seen) {
  ++seen.frames;
  require(frame.cut || frame.length == frame.bytes.size(), "a whole frame is as long as it says");
  if (seen.malformed) return;
  const auto event = reader.feed(std::move(frame));
  if (event == MessageReader::Event::malformed) seen.malformed = true;
  if (event == MessageReader::Event::message) {
    const Message message = reader.take();
    ++seen.messages;
    seen.bytes += message.bytes.size();
    require(message.start <= message.bytes.size(), "the control term begins inside");
  }
  // The frame that goes over the cap is cut when it is there.
  require(reader.held_bytes() <= kLimits.max_bytes + FrameSplitter::kHeadBytes,
          "memory is bounded");
}

Seen read_stream(ByteView stream, std::size_t piece_bytes) {
  FrameSplitter splitter(4, kMaxFrame);
  MessageReader reader(kLimits);
  Seen seen;
  while (!stream.empty()) {
    ByteView piece = stream.first(std::min(piece_bytes, stream.size()));
    stream = stream.subspan(piece.size());
    while (!piece.empty()) {
      const auto event = splitter.feed(piece);
      if (event == FrameSplitter::Event::empty) ++seen.ticks;
      if (event == FrameSplitter::Event::frame) on_frame(splitter.take(), reader, seen);
    }
  }
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ByteView input = ml_worker::fuzz::view(data, size);
  const std::size_t piece = ml_worker::fuzz::Dice(input).roll() + 1U;
  require(read_stream(input, piece) == read_stream(input, 1U << 20U),
          "the size of the pieces makes no difference");
  return 0;
}
