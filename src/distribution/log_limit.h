// Keeps a peer from filling the log.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <unordered_map>

namespace ml_worker::distribution {

/// Lets one line per key and minute through. Bounded: a flood of different keys shares one budget.
class LogLimiter {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds kInterval{60};
  static constexpr std::size_t kMaxKeys = 1024;

  enum class Verdict {
    write,
    repeated,  ///< less than a minute ago
    no_room,   ///< for another key in this minute
  };

  explicit LogLimiter(std::size_t max_keys = kMaxKeys) : max_keys_(max_keys) {}

  Verdict ask(const std::string& key, Clock::time_point now);
  bool allow(const std::string& key, Clock::time_point now = Clock::now()) {
    return ask(key, now) == Verdict::write;
  }
  /// It wrote nothing in the last minute: a new one would say the same.
  bool is_idle(Clock::time_point now) const { return now - last_write_ >= kInterval; }

 private:
  std::size_t max_keys_;
  std::unordered_map<std::string, Clock::time_point> last_;
  Clock::time_point last_write_{};
};

/// For lines about those who have not proved that they know the cookie: each source has a budget of
/// its own, so that none uses up another's.
class SourceLogLimiter {
 public:
  using Clock = LogLimiter::Clock;
  using Verdict = LogLimiter::Verdict;
  static constexpr std::size_t kMaxSources = 1024;
  static constexpr std::size_t kMaxNames = 16;    ///< of one source; its other names share a line
  static constexpr std::size_t kMaxReasons = 16;  ///< for each of so many reasons

  /// `source`: handshake_source(). `no_room`: lines are left out of which no other tells.
  Verdict ask(const std::string& source, const std::string& claimed_name, const std::string& reason,
              Clock::time_point now = Clock::now());

 private:
  struct Source {
    LogLimiter names{kMaxNames};
    LogLimiter reasons{kMaxReasons};
  };

  bool make_room(Clock::time_point now);

  std::unordered_map<std::string, Source> sources_;
  Clock::time_point last_swept_{};
};

}  // namespace ml_worker::distribution
