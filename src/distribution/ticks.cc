#include "distribution/ticks.h"

#include <utility>

namespace ml_worker::distribution {

void TickPolicy::on_tick(Clock::time_point now) {
  if (last_tick_) {
    const auto gap = std::chrono::duration_cast<std::chrono::milliseconds>(now - *last_tick_);
    interval_ = std::min(configured_, std::max(gap, kShortest));
  }
  last_tick_ = now;
}

void TickPolicy::on_write() {
  written_ = true;
  unanswered_ = false;
}

bool TickPolicy::tick_due() {
  quiet_ = std::exchange(written_, false) ? std::chrono::milliseconds(0) : quiet_ + period();
  const bool due = quiet_ >= (unanswered_ ? period() : interval_);
  if (due) {
    quiet_ = std::chrono::milliseconds(0);
    unanswered_ = false;
  }
  return due;
}

}  // namespace ml_worker::distribution
