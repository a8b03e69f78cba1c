#include "service/call_times.h"

#include <algorithm>

namespace ml_worker {
namespace {

std::chrono::microseconds microseconds(Clock::duration duration) {
  using std::chrono::duration_cast;
  return std::max(duration_cast<std::chrono::microseconds>(duration), std::chrono::microseconds{0});
}

}  // namespace

void CallTimes::begin() {
  const std::lock_guard lock(mutex_);
  begun_ = Clock::now();
}

void CallTimes::tokenized(Clock::time_point started) {
  const std::lock_guard lock(mutex_);
  tokenized_ = Clock::now() - started;
}

void CallTimes::submit() {
  const std::lock_guard lock(mutex_);
  if (!submitted_) submitted_ = Clock::now();
}

void CallTimes::computed(const ForwardTimes& text) {
  const std::lock_guard lock(mutex_);
  if (!computed_) computed_ = text;
  computed_->started = std::min(computed_->started, text.started);
  computed_->finished = std::max(computed_->finished, text.finished);
}

CallTimings CallTimes::timings() const {
  const std::lock_guard lock(mutex_);
  CallTimings times;
  times.queue = microseconds(begun_ - arrival_);
  if (tokenized_) times.tokenize = microseconds(*tokenized_);
  if (computed_) {
    times.queue += microseconds(computed_->started - submitted_.value_or(begun_));
    times.compute = microseconds(computed_->finished - computed_->started);
  }
  return times;
}

bool CallTimes::has_tokenized() const {
  const std::lock_guard lock(mutex_);
  return tokenized_.has_value();
}

bool CallTimes::was_computed() const {
  const std::lock_guard lock(mutex_);
  return computed_.has_value();
}

}  // namespace ml_worker
