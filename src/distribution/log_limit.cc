#include "distribution/log_limit.h"

namespace ml_worker::distribution {

LogLimiter::Verdict LogLimiter::ask(const std::string& key, Clock::time_point now) {
  const auto known = last_.find(key);
  if (known != last_.end() && now - known->second < kInterval) return Verdict::repeated;
  if (known == last_.end() && last_.size() >= max_keys_) {
    std::erase_if(last_, [now](const auto& entry) { return now - entry.second >= kInterval; });
    if (last_.size() >= max_keys_) return Verdict::no_room;
  }
  last_.insert_or_assign(key, now);
  last_write_ = now;
  return Verdict::write;
}

SourceLogLimiter::Verdict SourceLogLimiter::ask(const std::string& source,
                                                const std::string& claimed_name,
                                                const std::string& reason, Clock::time_point now) {
  auto known = sources_.find(source);
  if (known == sources_.end()) {
    if (!make_room(now)) return Verdict::no_room;
    known = sources_.try_emplace(source).first;
  }
  const Verdict of_name = known->second.names.ask(claimed_name + ' ' + reason, now);
  return of_name == Verdict::no_room ? known->second.reasons.ask(reason, now) : of_name;
}

bool SourceLogLimiter::make_room(Clock::time_point now) {
  constexpr std::chrono::seconds kBetweenSweeps{1};
  if (sources_.size() < kMaxSources) return true;
  if (now - last_swept_ < kBetweenSweeps) return false;
  last_swept_ = now;
  std::erase_if(sources_, [now](const auto& entry) {
    return entry.second.names.is_idle(now) && entry.second.reasons.is_idle(now);
  });
  return sources_.size() < kMaxSources;
}

}  // namespace ml_worker::distribution
