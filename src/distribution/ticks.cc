#include "distribution/ticks.h"

#include <algorithm>
#include <utility>

namespace ml_worker::distribution {

void TickPolicy::on_tick(Clock::time_point now) {
  if (last_tick_) {
    const auto gap = std::chrono::duration_cast<std::chrono::milliseconds>(now - *last_tick_);
    interval_ = std::min(configured_, std::max(gap, kShortest));
  }
  last_tick_ = now;
}

bool TickPolicy::tick_due() { return !std::exchange(written_, false); }

}  // namespace ml_worker::distribution
