// Frames to messages: the header of a frame, and messages that come in fragments.
//
// Format: "Distribution Header" and "Distribution Header for fragmented messages" in OTP's
// erl_ext_dist. Without DFLAG_DIST_HDR_ATOM_CACHE, which we never set, no header has atoms in it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>

#include "distribution/frames.h"

namespace ml_worker::distribution {

/// A control term and perhaps a payload, whole however many frames they came in.
struct Message {
  enum class Missing {
    nothing,
    too_large,  ///< over the cap of a message: only its head is here
    no_room,    ///< too much was being put together at once: only its head is here
  };
  Bytes bytes;
  std::size_t start = 0;     ///< where the control term begins
  bool versioned = false;    ///< each term has the version byte 131 before it
  std::uint64_t length = 0;  ///< as it was sent; more than what is here if something is missing
  Missing missing = Missing::nothing;
};

/// What stands at the front of a frame.
struct FrameHeader {
  enum class Kind { pass_through, whole, first_fragment, next_fragment, malformed };
  Kind kind = Kind::malformed;
  std::size_t bytes = 0;
  std::uint64_t sequence = 0;  ///< which message, of those under way at once
  std::uint64_t fragment = 0;  ///< how many are still to come, this one included
};
FrameHeader parse_frame_header(ByteView frame);

struct ReassemblyLimits {
  std::size_t max_message_bytes;
  std::size_t max_bytes;     ///< of all messages under way
  std::size_t max_messages;  ///< under way at once
};

/// Memory follows what has arrived. A message over a cap keeps the stream in step: its head is
/// handed out at its end, enough to tell the caller what happened.
class MessageReader {
 public:
  enum class Event { need_more, message, malformed };

  explicit MessageReader(const ReassemblyLimits& limits) : limits_(limits) {}

  /// `malformed`: the header is none of ours, or the fragment is not the next of a message under
  /// way, or too many messages are.
  Event feed(Frame frame);
  /// REQUIRES: feed() has just returned Event::message.
  Message take();

  std::size_t held_bytes() const { return held_bytes_; }

 private:
  struct Partial {
    Message message;
    std::uint64_t next_fragment = 0;
    std::size_t expected_bytes = 0;
  };
  using Partials = std::unordered_map<std::uint64_t, Partial>;

  Event whole(Frame frame, const FrameHeader& header);
  Event first(const Frame& frame, const FrameHeader& header);
  Event next(const Frame& frame, const FrameHeader& header);
  Event add(Partials::iterator partial, const Frame& frame, const FrameHeader& header);
  void append(Partial& partial, ByteView content);
  void cut(Message& message, Message::Missing why);
  Message::Missing lacks_room(const Partial& partial, const Frame& frame, ByteView content) const;

  ReassemblyLimits limits_;
  Partials partials_;
  std::size_t held_bytes_ = 0;
  Message message_;
};

}  // namespace ml_worker::distribution
