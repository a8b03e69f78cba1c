// When to send a tick, and when a peer has been silent for too long.
#pragma once

#include <algorithm>
#include <chrono>
#include <optional>

namespace ml_worker::distribution {

/// A function of what was read and written; the connection's timer asks it once per `period()`.
///
/// A peer drops us when it has read nothing for its net_ticktime, which is not on the wire. An idle
/// Erlang node sends a tick every quarter of it, so the gap between two ticks in a row tells: ours
/// go out at that rate if it is higher than the configured one. A busy node sends none. One that
/// says something and hears nothing (it casts, it waits for a result) gets a tick every second.
class TickPolicy {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kShortest{250};
  static constexpr std::chrono::milliseconds kUnanswered{1000};

  TickPolicy(std::chrono::milliseconds configured, std::chrono::milliseconds peer_timeout,
             Clock::time_point now)
      : configured_(configured),
        peer_timeout_(peer_timeout),
        interval_(configured),
        last_read_(now) {}

  void on_read(Clock::time_point now) { last_read_ = now; }
  void on_frame() {
    last_tick_.reset();
    unanswered_ = true;
  }
  void on_tick(Clock::time_point now);
  /// A frame is to be written; not a tick, or every other interval would go without one.
  void on_write();

  std::chrono::milliseconds interval() const { return interval_; }
  std::chrono::milliseconds period() const { return std::min(interval_, kUnanswered); }
  /// Once per period.
  bool tick_due();
  bool peer_is_silent(Clock::time_point now) const { return now - last_read_ >= peer_timeout_; }

 private:
  std::chrono::milliseconds configured_;
  std::chrono::milliseconds peer_timeout_;
  std::chrono::milliseconds interval_;
  Clock::time_point last_read_;
  std::optional<Clock::time_point> last_tick_;
  std::chrono::milliseconds quiet_{0};  ///< whole periods in which nothing was written
  bool written_ = false;                ///< in this period
  bool unanswered_ = false;             ///< a frame was read and nothing written since
};

}  // namespace ml_worker::distribution
