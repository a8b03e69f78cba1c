#include "batching/speed.h"

#include <algorithm>
#include <cmath>

namespace ml_worker {
namespace {

constexpr double kMemorySeconds = 2.0;
/// Keeps the quotient finite where a batch takes less than the clock's step.
constexpr double kShortestSeconds = 1e-9;

}  // namespace

void SpeedMeter::add(std::size_t tokens, double seconds) {
  seconds = std::max(seconds, kShortestSeconds);
  const double keep = std::exp(-seconds / kMemorySeconds);
  tokens_ = tokens_ * keep + static_cast<double>(tokens);
  seconds_ = seconds_ * keep + seconds;
}

double SpeedMeter::tokens_per_second() const { return seconds_ > 0.0 ? tokens_ / seconds_ : 0.0; }

}  // namespace ml_worker
