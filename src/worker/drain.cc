#include "worker/drain.h"

#include "ml_worker/log.h"

namespace ml_worker {
namespace {

/// Time for the last replies to leave; a peer that does not read must not hold up the exit.
constexpr std::chrono::seconds kLinger{5};

}  // namespace

Drain::~Drain() {
  if (thread_.joinable()) thread_.join();
}

void Drain::begin(const char* why) {
  const std::lock_guard lock(mutex_);
  if (thread_.joinable()) {
    log::warning("stopping without waiting for queued work", {{"why", why}});
    node_.stop(std::chrono::seconds(0));
    return;
  }
  log::info("draining", {{"why", why}});
  thread_ = std::thread([this] { run(); });
}

void Drain::run() {
  node_.unpublish();
  service_.drain();
  node_.stop(kLinger);
}

}  // namespace ml_worker
