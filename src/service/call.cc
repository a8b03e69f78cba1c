#include "service/call.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "ml_worker/log.h"

namespace ml_worker {
namespace {

std::uint64_t microseconds_since(Clock::time_point start) {
  using std::chrono::duration_cast;
  return static_cast<std::uint64_t>(
      duration_cast<std::chrono::microseconds>(Clock::now() - start).count());
}

std::string what_of_current_exception() {
  try {
    throw;
  } catch (const std::exception& exception) {
    return exception.what();
  } catch (...) {
    return "unknown exception";
  }
}

}  // namespace

Call::Call(std::shared_ptr<CallCounters> counters, std::shared_ptr<Admission::Ticket> ticket,
           std::shared_ptr<ReplySink> sink)
    : counters_(std::move(counters)),
      number_(++counters_->total),
      ticket_(std::move(ticket)),
      sink_(std::move(sink)) {}

std::optional<Clock::time_point> Call::deadline(
    const std::optional<std::chrono::milliseconds>& timeout) const {
  // What is over a century would overflow the clock.
  constexpr std::chrono::milliseconds kForever = std::chrono::hours{24 * 365 * 100};
  if (!timeout) return std::nullopt;
  return arrival_ + std::min(*timeout, kForever);
}

bool Call::leave_open(State next) {
  State expected = State::open;
  return state_.compare_exchange_strong(expected, next);
}

void Call::release() {
  sink_.reset();
  ticket_.reset();
}

void Call::cancel() {
  if (!leave_open(State::cancelled)) return;
  ++counters_->cancelled;
  release();
}

// Counted before the sink runs: a caller that has its answer finds it in info().
void Call::answer(const std::function<void(ReplySink&)>& write) {
  if (!leave_open(State::answered)) return;
  ++counters_->ok;
  write_contained(write);
  release();
}

void Call::answer(const Value& value) {
  answer([&value](ReplySink& sink) { sink.value(value); });
}

void Call::fail(const Error& error) {
  if (!leave_open(State::answered)) return;
  count(error);
  write_contained([&error](ReplySink& sink) { sink.failure(error); });
  release();
}

void Call::count(const Error& error) {
  ++counters_->failed;
  ++counters_->failures.at(static_cast<std::size_t>(error.kind));
}

// A sink that throws (no memory for a large reply) has not answered; its caller still waits.
void Call::write_contained(const std::function<void(ReplySink&)>& write) {
  const Clock::time_point started = Clock::now();
  try {
    write(*sink_);
  } catch (...) {
    const std::string what = what_of_current_exception();
    log::error("a reply could not be written", {{"what", log::printable(what)}});
    try {
      sink_->failure(errors::model_failed("reply", what));
    } catch (...) {
      log::error("a failure could not be written");
    }
  }
  counters_->reply_us.add(microseconds_since(started));
}

}  // namespace ml_worker
