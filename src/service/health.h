// Is the device able to compute, and does it compute what it did before?
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "ml_worker/batching.h"
#include "service/call.h"
#include "service/call_threads.h"
#include "service/models.h"

namespace ml_worker {

/// A check is a forward pass of each model on the device thread, past the queue. One check at a
/// time; whoever asks meanwhile gets its result, whoever asks soon after gets it again. No thread
/// waits for the device: a watchdog answers when it takes too long.
class HealthCheck {
 public:
  struct Times {
    std::chrono::milliseconds timeout;
    std::chrono::milliseconds max_age;
  };
  HealthCheck(Batcher& batcher, const ModelTable& models, CallThreads& threads, Times times);
  ~HealthCheck();
  HealthCheck(const HealthCheck&) = delete;
  HealthCheck& operator=(const HealthCheck&) = delete;

  /// Answers `call` with `ok` or `{unhealthy, What}`, now or later, on a call thread.
  void check(std::shared_ptr<Call> call);
  /// What the last check found wrong; none if it found nothing, or there was none.
  std::optional<Error> failure() const;
  /// Answers those who wait with `draining`. REQUIRES: the batcher has stopped.
  void stop();

 private:
  using Verdict = std::optional<Error>;
  using Waiting = std::vector<std::shared_ptr<Call>>;

  bool fresh() const;               // REQUIRES: mutex_ held
  bool overdue() const;             // REQUIRES: mutex_ held
  Waiting record(Verdict verdict);  // REQUIRES: mutex_ held
  void answer(const Waiting& waiting, const Verdict& verdict);
  void begin();  // REQUIRES: mutex_ held
  void run_on_device();
  Verdict check_models();
  void check_model(Encoder& model);
  void watch();

  Batcher& batcher_;
  const ModelTable& models_;
  CallThreads& threads_;
  const Times times_;
  /// Of each model's first pass; the device thread's.
  std::map<const Encoder*, std::vector<float>> references_;

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
