#include "service/call.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <initializer_list>
#include <new>
#include <utility>

#include "ml_worker/log.h"

namespace ml_worker {
namespace {

std::uint64_t count_of(std::chrono::microseconds duration) {
  return static_cast<std::uint64_t>(duration.count());
}

std::uint64_t microseconds_since(Clock::time_point start) {
  return count_of(std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start));
}

Error failed_reply(const char* what) {
  log::error("a reply could not be made", {{"what", log::printable(what)}});
  return errors::model_failed("reply", what);
}

/// Why the sink could not do its step, if it could not. Nothing that it throws leaves this
/// function: a reply that has no room now must not end the process and everybody's calls with it.
template <typename Step>
std::optional<Error> attempt(Step step) {
  try {
    step();
    return std::nullopt;
  } catch (const ReplyError& error) {
    return error.error();
  } catch (const std::bad_alloc&) {
    return errors::overloaded(std::chrono::seconds(1));
  } catch (const std::exception& exception) {
    return failed_reply(exception.what());
  } catch (...) {
    return failed_reply("unknown exception");
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

// Counted before it is delivered: a caller that has its answer finds it in info().
void Call::answer(const std::function<void(ReplySink&)>& write) {
  if (!leave_open(State::answered)) return;
  const Clock::time_point started = Clock::now();
  if (const auto error = attempt([&] { write(*sink_); })) return end(*error);
  counters_->reply_us.add(microseconds_since(started));
  count_times();
  ++counters_->ok;
  if (const auto error = attempt([&] { sink_->deliver(); })) {
    --counters_->ok;
    return end(*error);
  }
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
  if (leave_open(State::answered)) end(error);
}

void Call::end(const Error& error) {
  count(error);
  count_times();
  log_failure(error);
  const auto lost = attempt([&] {
    sink_->failure(error);
    sink_->deliver();
  });
  if (lost) log::error("a failure could not be delivered", {{"trace", trace_}});
  release();
}

void Call::count(const Error& error) {
  ++counters_->failed;
  ++counters_->failures.at(static_cast<std::size_t>(error.kind));
}

// A call that was not with the device has no times of it: zeros would hide those of the others.
void Call::count_times() {
  const CallTimings took = times_.timings();
  if (times_.has_tokenized()) counters_->tokenize_us.add(count_of(took.tokenize));
  if (!times_.was_computed()) return;
  counters_->queue_us.add(count_of(took.queue));
  counters_->compute_us.add(count_of(took.compute));
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

}  // namespace ml_worker
