// From the first sign to stop until the node has ended: new work refused, queued work answered,
// connections closed.
#pragma once

#include <atomic>
#include <chrono>
#include <mutex>
#include <string>
#include <thread>

#include "ml_worker/distribution.h"
#include "ml_worker/service.h"

namespace ml_worker {

class Drain {
 public:
  Drain(distribution::Node& node, Service& service) : node_(node), service_(service) {}
  ~Drain();
  Drain(const Drain&) = delete;
  Drain& operator=(const Drain&) = delete;

  /// Thread safe, returns at once. The first call drains; a second one stops without waiting for
  /// queued work. `why` goes to the log.
  void begin(const char* why);
  /// The same for a worker that is no good any more; queued work is not waited for very long, for
  /// the device may be stuck.
  void retire(const std::string& what);

  bool retired() const { return retired_; }

 private:
  void start(std::chrono::milliseconds timeout);  // REQUIRES: mutex_ held
  void run(std::chrono::milliseconds timeout);

  distribution::Node& node_;
  Service& service_;
  std::atomic<bool> retired_{false};
  std::mutex mutex_;
  std::thread thread_;
};

}  // namespace ml_worker
