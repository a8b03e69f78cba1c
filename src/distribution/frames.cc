#include "distribution/frames.h"

#include <algorithm>
#include <utility>

namespace ml_worker::distribution {

FrameSplitter::FrameSplitter(std::size_t prefix_bytes, std::size_t max_frame_bytes)
    : prefix_bytes_(prefix_bytes), max_frame_bytes_(max_frame_bytes) {}

FrameSplitter::Event FrameSplitter::feed(ByteView& input) {
  skip(input);
  if (skipping_ > 0 || !read_prefix(input)) return Event::need_more;
  if (length_ == 0) {
    prefix_read_ = 0;
    return Event::empty;
  }
  return read_body(input) ? Event::frame : Event::need_more;
}

Frame FrameSplitter::take() {
  Frame frame{std::exchange(body_, {}), length_, length_ > wanted_};
  skipping_ = length_ - wanted_;
  prefix_read_ = 0;
  length_ = 0;
  return frame;
}

void FrameSplitter::skip(ByteView& input) {
  const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(skipping_, input.size()));
  skipping_ -= count;
  input = input.subspan(count);
}

bool FrameSplitter::read_prefix(ByteView& input) {
  if (prefix_read_ == prefix_bytes_) return true;
  while (prefix_read_ < prefix_bytes_ && !input.empty()) {
    length_ = length_ << 8U | static_cast<std::uint8_t>(input.front());
    input = input.subspan(1);
    ++prefix_read_;
  }
  if (prefix_read_ < prefix_bytes_) return false;
  start_body();
  return true;
}

void FrameSplitter::start_body() {
  wanted_ = length_ <= max_frame_bytes_ ? length_ : std::min<std::uint64_t>(length_, kHeadBytes);
}

bool FrameSplitter::read_body(ByteView& input) {
  const std::size_t missing = wanted_ - body_.size();
  const std::size_t count = std::min(missing, input.size());
  append_expecting(body_, input.first(count), wanted_);
  input = input.subspan(count);
  return body_.size() == wanted_;
}

}  // namespace ml_worker::distribution
