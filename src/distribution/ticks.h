// When to send a tick, and when a peer has been silent for too long.
#pragma once

#include <algorithm>
#include <chrono>
#include <deque>
#include <optional>

namespace ml_worker::distribution {

/// A function of what was read and written; the connection's timer asks it once per `period()`.
///
/// A peer drops us when it has read nothing for its net_ticktime, which is not on the wire. An idle
/// Erlang node sends a tick every quarter of it, so the gaps between ticks in a row tell. One gap
/// may lie: ticks are read late, and then two at once. So ours go out as often as the shortest of
/// the last few says, if that is more often than the configured interval; and until they have told,
/// once a second, or a net_ticktime of 4 s would nearly be over by then. A busy node sends none.
/// One that says something and hears nothing (it casts, it waits for a result) gets a tick every
/// second.
///
/// The longest of them tells how long its silence is to be borne: five of them are its net_ticktime
/// and a quarter. With a net_tickintensity above 4 there are more gaps in it: so we are never
/// patient for less than ten, or the configured timeout if that is shorter; and never for less than
/// the configured timeout while fewer than `kGaps` were seen. A guess may be wrong all the same (a
/// net_ticktime was raised): nobody is given up who was not asked and had time to answer, and who
/// answers within the configured timeout has shown a shorter guess to be wrong. It is forgotten.
class TickPolicy {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kShortest{250};
  static constexpr std::chrono::milliseconds kUnanswered{1000};
  static constexpr std::chrono::milliseconds kShortestPatience{6000};  ///< of gaps that were seen
  static constexpr std::chrono::milliseconds kTimeToAnswer{3000};      ///< at least, if it is there
  static constexpr std::size_t kGaps = 3;                              ///< the last so many count

  enum class Silence { borne, ask, over };

  TickPolicy(std::chrono::milliseconds configured, std::chrono::milliseconds peer_timeout,
             Clock::time_point now)
      : configured_(configured),
        peer_timeout_(peer_timeout),
        interval_(std::min(configured, kUnanswered)),
        last_read_(now) {}

  void on_read(Clock::time_point now);
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
  std::chrono::milliseconds time_to_answer() const;

  std::chrono::milliseconds configured_;
  std::chrono::milliseconds peer_timeout_;
  std::chrono::milliseconds interval_;
  Clock::time_point last_read_;
  std::optional<Clock::time_point> last_tick_;
  std::deque<std::chrono::milliseconds> gaps_;  ///< between ticks in a row, the newest behind
  std::optional<Clock::time_point> asked_;      ///< in this silence
  std::chrono::milliseconds quiet_{0};          ///< whole periods in which nothing was written
  bool written_ = false;                        ///< in this period
  bool unanswered_ = false;                     ///< a frame was read and nothing written since
};

}  // namespace ml_worker::distribution
