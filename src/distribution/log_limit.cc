#include "distribution/log_limit.h"

namespace ml_worker::distribution {

bool LogLimiter::allow(const std::string& key, Clock::time_point now) {
  const auto known = last_.find(key);
  if (known != last_.end()) {
    if (now - known->second < kInterval) return false;
    known->second = now;
    return true;
  }
  if (last_.size() >= kMaxKeys) {
    std::erase_if(last_, [now](const auto& entry) { return now - entry.second >= kInterval; });
    if (last_.size() >= kMaxKeys) return false;
  }
  last_.emplace(key, now);
  return true;
}

}  // namespace ml_worker::distribution
