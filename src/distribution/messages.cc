#include "distribution/messages.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace ml_worker::distribution {
namespace {

using Kind = FrameHeader::Kind;

constexpr std::uint8_t kPassThrough = 'p';
constexpr std::uint8_t kVersion = 131;
constexpr std::uint8_t kWhole = 'D';
constexpr std::uint8_t kFirstFragment = 'E';
constexpr std::uint8_t kNextFragment = 'F';

constexpr std::size_t kHeadBytes = 16384;  ///< that a message over a cap keeps

constexpr FrameHeader kMalformed{};

FrameHeader fragment_header(WireReader& in, Kind kind, std::size_t bytes) {
  FrameHeader header{kind, bytes, in.u64(), in.u64()};
  const bool atoms = kind == Kind::first_fragment && in.u8() != 0;
  return in.within() && !atoms && header.fragment > 0 ? header : kMalformed;
}

std::size_t saturating_product(std::uint64_t a, std::size_t b) {
  constexpr auto kMax = std::numeric_limits<std::size_t>::max();
  return b != 0 && a > kMax / b ? kMax : a * b;
}

}  // namespace

FrameHeader parse_frame_header(ByteView frame) {
  WireReader in(frame);
  const std::uint8_t first = in.u8();
  if (first == kPassThrough) return {Kind::pass_through, 1};
  if (first != kVersion) return kMalformed;
  switch (in.u8()) {
    case kWhole:
      return in.u8() == 0 && in.within() ? FrameHeader{Kind::whole, 3} : kMalformed;
    case kFirstFragment:
      return fragment_header(in, Kind::first_fragment, 19);
    case kNextFragment:
      return fragment_header(in, Kind::next_fragment, 18);
    default:
      return kMalformed;
  }
}

MessageReader::Event MessageReader::feed(Frame frame) {
  const FrameHeader header = parse_frame_header(frame.bytes);
  switch (header.kind) {
    case Kind::pass_through:
    case Kind::whole:
      return whole(std::move(frame), header);
    case Kind::first_fragment:
      return first(frame, header);
    case Kind::next_fragment:
      return next(frame, header);
    case Kind::malformed:
      break;
  }
  return Event::malformed;
}

Message MessageReader::take() { return std::exchange(message_, {}); }

MessageReader::Event MessageReader::whole(Frame frame, const FrameHeader& header) {
  using Missing = Message::Missing;
  message_ = {std::move(frame.bytes), header.bytes, header.kind == Kind::pass_through, frame.length,
              frame.cut ? Missing::too_large : Missing::nothing};
  return Event::message;
}

MessageReader::Event MessageReader::first(const Frame& frame, const FrameHeader& header) {
  if (partials_.size() >= limits_.max_messages) return Event::malformed;
  const auto [partial, is_new] = partials_.try_emplace(header.sequence);
  if (!is_new) return Event::malformed;
  partial->second.next_fragment = header.fragment;
  partial->second.expected_bytes =
      std::min(limits_.max_message_bytes, saturating_product(header.fragment, frame.bytes.size()));
  return add(partial, frame, header);
}

MessageReader::Event MessageReader::next(const Frame& frame, const FrameHeader& header) {
  const auto partial = partials_.find(header.sequence);
  if (partial == partials_.end() || partial->second.next_fragment != header.fragment) {
    return Event::malformed;
  }
  return add(partial, frame, header);
}

MessageReader::Event MessageReader::add(Partials::iterator partial, const Frame& frame,
                                        const FrameHeader& header) {
  Message& message = partial->second.message;
  const ByteView content = ByteView(frame.bytes).subspan(header.bytes);
  message.length += frame.length - header.bytes;
  if (message.missing == Message::Missing::nothing) {
    const auto missing = lacks_room(partial->second, frame, content);
    if (missing == Message::Missing::nothing || message.bytes.empty()) {
      append(partial->second, content);
    }
    if (missing != Message::Missing::nothing) cut(message, missing);
  }
  if (--partial->second.next_fragment > 0) return Event::need_more;
  held_bytes_ -= message.bytes.size();
  message_ = std::move(message);
  partials_.erase(partial);
  return Event::message;
}

Message::Missing MessageReader::lacks_room(const Partial& partial, const Frame& frame,
                                           ByteView content) const {
  if (frame.cut || partial.message.bytes.size() + content.size() > limits_.max_message_bytes) {
    return Message::Missing::too_large;
  }
  const bool room = held_bytes_ + content.size() <= limits_.max_bytes;
  return room ? Message::Missing::nothing : Message::Missing::no_room;
}

void MessageReader::append(Partial& partial, ByteView content) {
  append_expecting(partial.message.bytes, content, partial.expected_bytes);
  held_bytes_ += content.size();
}

void MessageReader::cut(Message& message, Message::Missing why) {
  message.missing = why;
  const std::size_t kept = std::min(message.bytes.size(), kHeadBytes);
  held_bytes_ -= message.bytes.size() - kept;
  message.bytes =
      Bytes(message.bytes.begin(), message.bytes.begin() + static_cast<std::ptrdiff_t>(kept));
}

}  // namespace ml_worker::distribution
