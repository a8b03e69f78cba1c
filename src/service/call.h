// One call from its arrival to its one answer.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "ml_worker/histogram.h"
#include "ml_worker/service.h"
#include "service/admission.h"
#include "service/call_times.h"

namespace ml_worker {

/// How calls ended, and how long their parts took.
struct CallCounters {
  std::atomic<std::uint64_t> total{0};
  std::atomic<std::uint64_t> ok{0};
  std::atomic<std::uint64_t> failed{0};
  std::atomic<std::uint64_t> cancelled{0};
  std::array<std::atomic<std::uint64_t>, 10> failures{};  ///< by ErrorKind
  // Of the calls that had that part, whether they failed or not.
  Histogram queue_us;     ///< waited: for a thread and for the device
  Histogram tokenize_us;  ///< all texts of a call
  Histogram compute_us;   ///< from its first batch to the end of its last
  Histogram reply_us;     ///< making the answer
};

/// Answered or cancelled once, whichever comes first. May outlive the service: a caller keeps the
/// handle as long as it likes.
class Call : public CallHandle {
 public:
  /// `ticket`: none if the call was refused at the door.
  Call(std::shared_ptr<CallCounters> counters, std::shared_ptr<Admission::Ticket> ticket,
       std::shared_ptr<ReplySink> sink);

  /// The service's calls are numbered from 1.
  std::uint64_t number() const { return number_; }
  Clock::time_point arrival() const { return arrival_; }
  /// When a `timeout` that counts from the arrival is over.
  std::optional<Clock::time_point> deadline(
      const std::optional<std::chrono::milliseconds>& timeout) const;
  /// Nobody has answered or cancelled it yet.
  bool open() const { return state_ == State::open; }
  bool cancelled() const { return state_ == State::cancelled; }
  void cancel() override;

  /// From now on lines of the log about this call say `trace`. Before anything is done for it.
  void set_trace(std::string trace) { trace_ = std::move(trace); }
  const std::string& trace() const { return trace_; }

  /// Whoever does a part of the call's work says so; counted with its answer.
  CallTimes& times() { return times_; }

  /// Runs `write` (which has the sink make the answer) and delivers, if the call is still open.
  /// Takes the time that a reply takes: not for the device thread.
  void answer(const std::function<void(ReplySink&)>& write);
  void answer(const Value& value);
  void fail(const Error& error);

 private:
  enum class State { open, answered, cancelled };
  bool leave_open(State next);
  /// The call is ours (`leave_open` said so) and ends with `error`.
  void end(const Error& error);
  void count(const Error& error);
  void count_times();
  void log_failure(const Error& error) const;
  void release();

  const Clock::time_point arrival_ = Clock::now();
  const std::shared_ptr<CallCounters> counters_;
  const std::uint64_t number_;
  std::string trace_;
  CallTimes times_{arrival_};
  std::atomic<State> state_{State::open};
  // Both belong to whoever moved `state_` away from open.
  std::shared_ptr<Admission::Ticket> ticket_;
  std::shared_ptr<ReplySink> sink_;
};

}  // namespace ml_worker
