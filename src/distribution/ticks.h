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
///
/// The same gap tells how long its silence is to be borne: five of them, its net_ticktime and a
/// quarter; the configured timeout only until there is one. It may be wrong (ticks that came
/// bunched, a net_ticktime that was raised), and a peer may tick more rarely than we are patient:
/// so nobody is given up who was not asked in the last fifth, and had that long to answer.
class TickPolicy {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kShortest{250};
  static constexpr std::chrono::milliseconds kUnanswered{1000};
  static constexpr std::chrono::milliseconds kShortestPatience{6000};  ///< of a gap that was seen

  enum class Silence { borne, ask, over };

  TickPolicy(std::chrono::milliseconds configured, std::chrono::milliseconds peer_timeout,
             Clock::time_point now)
      : configured_(configured),
        peer_timeout_(peer_timeout),
        interval_(configured),
        last_read_(now) {}

  void on_read(Clock::time_point now) {
    last_read_ = now;
    asked_.reset();
  }
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
  /// How long nothing may be read of the peer.
  std::chrono::milliseconds patience() const;
  /// `ask`: once in a silence; the peer is to be sent something that it answers.
  Silence silence(Clock::time_point now);

 private:
  std::chrono::milliseconds configured_;
  std::chrono::milliseconds peer_timeout_;
  std::chrono::milliseconds interval_;
  Clock::time_point last_read_;
  std::optional<Clock::time_point> last_tick_;
  std::optional<std::chrono::milliseconds> gap_;  ///< between the last two ticks in a row
  std::optional<Clock::time_point> asked_;        ///< in this silence
  std::chrono::milliseconds quiet_{0};            ///< whole periods in which nothing was written
  bool written_ = false;                          ///< in this period
  bool unanswered_ = false;                       ///< a frame was read and nothing written since
};

}  // namespace ml_worker::distribution
