// A byte stream cut into length-prefixed frames.
#pragma once

#include <cstddef>
#include <cstdint>

#include "distribution/wire.h"

namespace ml_worker::distribution {

struct Frame {
  Bytes bytes;               ///< without the length prefix
  std::uint64_t length = 0;  ///< as the prefix claims; more than bytes.size() if `cut`
  bool cut = false;          ///< over the cap: only the head is here, the rest is thrown away
};

/// Takes a stream in pieces of any size. Memory follows what has arrived, never what a length
/// claims. A frame over the cap keeps the stream in step: its head is handed out (enough to tell
/// the caller what happened), the rest is read past.
class FrameSplitter {
 public:
  enum class Event {
    need_more,  ///< all input consumed
    frame,      ///< take() has it
    empty,      ///< a frame of length 0: a tick
  };

  /// `prefix_bytes`: 2 in a TCP handshake, 4 afterwards.
  FrameSplitter(std::size_t prefix_bytes, std::size_t max_frame_bytes);

  /// Consumes from the front of `input` up to the next event.
  Event feed(ByteView& input);
  /// REQUIRES: feed() has just returned Event::frame.
  Frame take();

  static constexpr std::size_t kHeadBytes = 65536;  ///< of a frame over the cap

 private:
  bool read_prefix(ByteView& input);
  bool read_body(ByteView& input);
  void skip(ByteView& input);
  void start_body();

  std::size_t prefix_bytes_;
  std::size_t max_frame_bytes_;
  std::size_t prefix_read_ = 0;
  std::uint64_t length_ = 0;
  std::uint64_t wanted_ = 0;  ///< bytes of the body that are kept
  std::uint64_t skipping_ = 0;
  Bytes body_;
};

}  // namespace ml_worker::distribution
