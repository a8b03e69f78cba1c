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

  bool allow(const std::string& key, Clock::time_point now = Clock::now());

 private:
  std::unordered_map<std::string, Clock::time_point> last_;
};

}  // namespace ml_worker::distribution
