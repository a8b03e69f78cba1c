#include "worker/drain.h"

#include "ml_worker/log.h"

namespace ml_worker {
namespace {

/// In which whoever has not heard of it yet is told: what is on its way here is refused, not lost.
constexpr std::chrono::milliseconds kNotice{500};
/// Time for the last replies to leave; a peer that does not read must not hold up the exit.
constexpr std::chrono::seconds kLinger{5};
/// However long queued work takes, it was admitted.
constexpr std::chrono::hours kPatience{24 * 365};
/// Of a worker whose device is not to be trusted.
constexpr std::chrono::seconds kRetirement{10};

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
  start(kPatience);
}

void Drain::retire(const std::string& what) {
  const std::lock_guard lock(mutex_);
  retired_ = true;
  log::error("leaving service", {{"why", log::printable(what, 512)}});
  if (!thread_.joinable()) start(kRetirement);
}

void Drain::start(std::chrono::milliseconds timeout) {
  thread_ = std::thread([this, timeout] { run(timeout); });
}

void Drain::run(std::chrono::milliseconds timeout) {
  node_.unpublish();
  service_.drain(timeout);
  std::this_thread::sleep_for(kNotice);
  node_.stop(kLinger);
}

}  // namespace ml_worker
