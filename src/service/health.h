// Is the device able to compute, and does it compute what it did when the model was verified?
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "ml_worker/batching.h"
#include "service/call_threads.h"
#include "service/models.h"

namespace ml_worker {

/// A check is golden sentences through each model on the device thread, past the queue. One check
/// at a time; whoever asks meanwhile gets its result, whoever asks soon after gets it again. No
/// thread waits for the device: a watchdog answers when it takes too long.
class HealthCheck {
 public:
  /// A check that takes longer than `timeout` has failed.
  HealthCheck(Batcher& batcher, const ModelTable& models, CallThreads& threads,
              std::chrono::milliseconds timeout);
  ~HealthCheck();
  HealthCheck(const HealthCheck&) = delete;
  HealthCheck& operator=(const HealthCheck&) = delete;

  using Verdict = std::optional<Error>;
  using Listener = std::function<void(const Verdict&)>;

  /// Tells `listener` none or `{unhealthy, What}`, now or later, on a call thread. A result not
  /// older than `max_age` is used again.
  void check(Listener listener, std::chrono::milliseconds max_age);
  /// What the last check found wrong; none if it found nothing, or there was none.
  std::optional<Error> failure() const;
  /// Answers those who wait with `draining`. REQUIRES: the batcher has stopped.
  void stop();

 private:
  using Waiting = std::vector<Listener>;

  bool fresh(std::chrono::milliseconds max_age) const;  // REQUIRES: mutex_ held
  bool overdue() const;                                 // REQUIRES: mutex_ held
  Waiting record(Verdict verdict);                      // REQUIRES: mutex_ held
  void tell(const Waiting& waiting, const Verdict& verdict);
  void begin();  // REQUIRES: mutex_ held
  void run_on_device();
  Verdict check_models();
  void watch();

  Batcher& batcher_;
  const ModelTable& models_;
  CallThreads& threads_;
  const std::chrono::milliseconds timeout_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool running_ = false;
  bool stopping_ = false;
  std::uint64_t number_ = 0;  ///< of the check that runs or ran last
  Clock::time_point started_;
  Clock::time_point checked_;
  bool checked_once_ = false;
  Verdict verdict_;
  Waiting waiting_;
  std::thread watchdog_;  // last: it uses all of the above
};

}  // namespace ml_worker
