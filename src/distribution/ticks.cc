#include "distribution/ticks.h"

#include <utility>

namespace ml_worker::distribution {

void TickPolicy::on_read(Clock::time_point now) {
  last_read_ = now;
  const bool answered = std::exchange(asked_, std::nullopt).has_value();
  // Its next tick is left out for the answer: with the guess kept, no two would come in a row.
  if (answered && patience() < peer_timeout_) gaps_.clear();
}

void TickPolicy::on_tick(Clock::time_point now) {
  if (last_tick_) {
    gaps_.push_back(std::chrono::duration_cast<std::chrono::milliseconds>(now - *last_tick_));
    if (gaps_.size() > kGaps) gaps_.pop_front();
    const auto shortest = std::max(std::ranges::min(gaps_), kShortest);
    interval_ = std::min(gaps_.size() < kGaps ? interval_ : configured_, shortest);
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
  if (gaps_.empty()) return peer_timeout_;
  const auto longest = std::ranges::max(gaps_);
  const auto at_least =
      gaps_.size() < kGaps ? peer_timeout_ : std::min(10 * longest, peer_timeout_);
  return std::max({5 * longest, at_least, kShortestPatience});
}

std::chrono::milliseconds TickPolicy::time_to_answer() const {
  return std::min(patience() / 2, std::max(patience() / 5, kTimeToAnswer));
}

TickPolicy::Silence TickPolicy::silence(Clock::time_point now) {
  if (now - last_read_ < patience() - time_to_answer()) return Silence::borne;
  if (!asked_) {
    asked_ = now;
    return Silence::ask;
  }
  // From the question on: if we were stopped ourselves, the answer waits to be read.
  return now - *asked_ >= time_to_answer() ? Silence::over : Silence::borne;
}

}  // namespace ml_worker::distribution
