// How fast the device is, measured while it computes.
#pragma once

#include <cstddef>

namespace ml_worker {

/// Tokens per second of the time in which anything is computed, with an exponential decay over that
/// time: a long batch weighs more than a short one, and idle time weighs nothing.
class SpeedMeter {
 public:
  void add(std::size_t tokens, double seconds);
  double tokens_per_second() const;  ///< 0 before the first batch

 private:
  double tokens_ = 0.0;
  double seconds_ = 0.0;
};

}  // namespace ml_worker
