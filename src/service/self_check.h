// The service's own health checks: what is wrong with the device is found without anybody asking.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "service/health.h"

namespace ml_worker {

/// A thread that has the device checked every interval, and soon after something has failed on it.
/// A check that fails is confirmed by a second one before anybody is told.
class SelfCheck {
 public:
  explicit SelfCheck(HealthCheck& health) : health_(health) {}
  ~SelfCheck() { stop(); }
  SelfCheck(const SelfCheck&) = delete;
  SelfCheck& operator=(const SelfCheck&) = delete;

  /// Once.
  void start(SelfCheckOptions options);
  /// Something failed on the device: check now, but not more often than every `confirm_after`.
  void soon();
  /// REQUIRES: the health check still answers.
  void stop();

 private:
  void serve();
  /// False when stopped meanwhile.
  bool wait(std::chrono::milliseconds time, bool or_soon);
  /// The reason of a failure.
  std::optional<std::string> check();

  HealthCheck& health_;
  SelfCheckOptions options_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  bool soon_ = false;
  std::thread thread_;
};

}  // namespace ml_worker
