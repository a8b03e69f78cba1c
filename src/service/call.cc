#include "service/call.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <initializer_list>
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
  if (!trace_.empty()) {
    log::debug("a traced call was answered",
               {{"trace", trace_}, {"us", fmt::to_string(microseconds_since(arrival_))}});
  }
  release();
}

void Call::answer(const Value& value) {
  answer([&value](ReplySink& sink) { sink.value(value); });
}

void Call::fail(const Error& error) {
  if (!leave_open(State::answered)) return;
  count(error);
  log_failure(error);
  write_contained([&error](ReplySink& sink) { sink.failure(error); });
  release();
}

void Call::count(const Error& error) {
  ++counters_->failed;
  ++counters_->failures.at(static_cast<std::size_t>(error.kind));
}

// What callers do wrong they are told, and it must not fill the log.
void Call::log_failure(const Error& error) const {
  if (trace_.empty()) return;
  const bool is_callers =
      error.kind < ErrorKind::overloaded && error.kind != ErrorKind::model_failed;
  const std::initializer_list<log::Field> fields = {
      {"trace", trace_},
      {"reason", std::string(name_of(error.kind))},
      {"us", fmt::to_string(microseconds_since(arrival_))}};
  if (is_callers) {
    log::debug("a traced call failed", fields);
  } else {
    log::warning("a traced call failed", fields);
  }
}

// A sink that throws (no memory for a large reply) has not answered; its caller still waits.
void Call::write_contained(const std::function<void(ReplySink&)>& write) {
  const Clock::time_point started = Clock::now();
  try {
    write(*sink_);
  } catch (...) {
    const std::string what = what_of_current_exception();
    log::error("a reply could not be written", {{"what", log::printable(what)}, {"trace", trace_}});
    try {
      sink_->failure(errors::model_failed("reply", what));
    } catch (...) {
      log::error("a failure could not be written");
    }
  }
  counters_->reply_us.add(microseconds_since(started));
}

}  // namespace ml_worker
