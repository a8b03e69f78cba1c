#include "distribution/ticks.h"

#include <utility>

namespace ml_worker::distribution {

void TickPolicy::on_tick(Clock::time_point now) {
  if (last_tick_) {
    gap_ = std::chrono::duration_cast<std::chrono::milliseconds>(now - *last_tick_);
    interval_ = std::min(configured_, std::max(*gap_, kShortest));
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

std::chrono::milliseconds TickPolicy::patience() const {
  return gap_ ? std::max(5 * *gap_, kShortestPatience) : peer_timeout_;
}

TickPolicy::Silence TickPolicy::silence(Clock::time_point now) {
  const auto last_fifth = patience() / 5;
  if (now - last_read_ < patience() - last_fifth) return Silence::borne;
  if (!asked_) {
    asked_ = now;
    return Silence::ask;
  }
  // From the question on: if we were stopped ourselves, the answer waits to be read.
  return now - *asked_ >= last_fifth ? Silence::over : Silence::borne;
}

}  // namespace ml_worker::distribution
