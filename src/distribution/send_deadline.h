// By when a peer must have taken what waits to be sent to it.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>

namespace ml_worker::distribution {

/// A byte within the timeout, and all that waits at kBytesPerSecond at least, the timeout on top:
/// whoever trickles does not keep what waits for ever.
class SendDeadline {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::size_t kBytesPerSecond = std::size_t{64} << 10;

  explicit SendDeadline(std::chrono::milliseconds timeout) : timeout_(timeout) {}

  /// `bytes` more wait.
  void on_pushed(std::size_t bytes, Clock::time_point now) {
    all_taken_ = std::max(all_taken_, now) + at_that_rate(bytes);
  }
  /// The peer has room for something, for the first time or again; `waiting` bytes are left. To be
  /// faster than it must be earns it nothing for later.
  void on_progress(std::size_t waiting, Clock::time_point now) {
    progress_ = now;
    all_taken_ = std::min(all_taken_, now + at_that_rate(waiting));
  }
  /// While something waits.
  Clock::time_point at() const { return std::min(progress_, all_taken_) + timeout_; }

 private:
  static Clock::duration at_that_rate(std::size_t bytes) {
    return std::chrono::microseconds(bytes * std::micro::den / kBytesPerSecond);
  }

  std::chrono::milliseconds timeout_;
  Clock::time_point progress_{};
  Clock::time_point all_taken_{};  ///< at that rate
};

}  // namespace ml_worker::distribution
