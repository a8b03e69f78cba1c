// How long the parts of one call took. Thread safe.
#pragma once

#include <mutex>
#include <optional>

#include "ml_worker/service.h"

namespace ml_worker {

class CallTimes {
 public:
  explicit CallTimes(Clock::time_point arrival) : arrival_(arrival), begun_(arrival) {}

  /// A call thread has the call and its model.
  void begin();
  /// All its texts that had to be, since `started`.
  void tokenized(Clock::time_point started);
  /// The first of them are given to the batcher.
  void submit();
  /// A text of it was with the device, whether that failed or not.
  void computed(const ForwardTimes& text);

  /// 0: a part that the call did not have.
  CallTimings timings() const;
  bool has_tokenized() const;
  bool was_computed() const;

 private:
  const Clock::time_point arrival_;
  mutable std::mutex mutex_;
  Clock::time_point begun_;
  std::optional<Clock::time_point> submitted_;
  std::optional<Clock::duration> tokenized_;
  std::optional<ForwardTimes> computed_;  ///< first start and last end
};

}  // namespace ml_worker
