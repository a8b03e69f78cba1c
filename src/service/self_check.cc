#include "service/self_check.h"

#include <future>
#include <memory>
#include <utility>

#include "ml_worker/log.h"

namespace ml_worker {
namespace {

/// `{unhealthy, What}`: What. Anything else is no failure of the device.
std::optional<std::string> what_of(const HealthCheck::Verdict& verdict) {
  if (!verdict || verdict->kind != ErrorKind::unhealthy) return std::nullopt;
  const auto& reason = std::get<ValueTuple>(verdict->reason.storage());
  return std::get<std::string>(reason.elements.at(1).storage());
}

}  // namespace

void SelfCheck::start(SelfCheckOptions options) {
  if (options.interval.count() == 0) return;
  options_ = std::move(options);
  thread_ = std::thread([this] { serve(); });
}

void SelfCheck::soon() {
  {
    const std::lock_guard lock(mutex_);
    soon_ = true;
  }
  changed_.notify_all();
}

void SelfCheck::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void SelfCheck::serve() {
  while (wait(options_.interval, true)) {
    if (!check()) {
      if (!wait(options_.confirm_after, false)) return;
      continue;
    }
    if (!wait(options_.confirm_after, false)) return;
    const auto what = check();
    if (!what) continue;
    log::error("out of service: the device does not compute what it should", {{"what", *what}});
    if (options_.on_unhealthy) options_.on_unhealthy(*what);
    return;
  }
}

bool SelfCheck::wait(std::chrono::milliseconds time, bool or_soon) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, time, [&] { return stopping_ || (or_soon && soon_); });
  if (or_soon) soon_ = false;
  return !stopping_;
}

std::optional<std::string> SelfCheck::check() {
  const auto told = std::make_shared<std::promise<HealthCheck::Verdict>>();
  health_.check([told](const HealthCheck::Verdict& verdict) { told->set_value(verdict); },
                std::chrono::milliseconds(0));
  return what_of(told->get_future().get());
}

}  // namespace ml_worker
