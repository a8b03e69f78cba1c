#include "service/health.h"

#include <fmt/format.h>

#include <exception>
#include <stdexcept>
#include <string>
#include <utility>

#include "ml_worker/log.h"

namespace ml_worker {
namespace {

/// Throws what is wrong. The first vectors of a model that nobody has verified are its golden ones.
void check_model(const ModelTable::Entry& model) {
  const GoldenVectors vectors = compute_golden(*model.encoder);
  if (model.golden->empty()) *model.golden = vectors;
  const auto difference = compare_golden(model.encoder->description(), vectors, *model.golden);
  if (difference.ok()) return;
  throw std::runtime_error(
      fmt::format("the vectors of the golden sentences have changed: by {:.2g}, allowed {:.2g}",
                  difference.largest, difference.allowed));
}

}  // namespace

HealthCheck::HealthCheck(Batcher& batcher, const ModelTable& models, CallThreads& threads,
                         std::chrono::milliseconds timeout)
    : batcher_(batcher), models_(models), threads_(threads), timeout_(timeout), watchdog_([this] {
        watch();
      }) {}

HealthCheck::~HealthCheck() { stop(); }

std::optional<Error> HealthCheck::failure() const {
  const std::lock_guard lock(mutex_);
  return verdict_;
}

bool HealthCheck::fresh(std::chrono::milliseconds max_age) const {
  return checked_once_ && Clock::now() - checked_ < max_age;
}

bool HealthCheck::overdue() const { return running_ && Clock::now() - started_ >= timeout_; }

void HealthCheck::check(Listener listener, std::chrono::milliseconds max_age) {
  Verdict verdict;
  bool start_one = false;
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) {
      verdict = errors::draining();
    } else if (fresh(max_age) || overdue()) {
      verdict = verdict_;
    } else {
      waiting_.push_back(std::exchange(listener, nullptr));
      start_one = !std::exchange(running_, true);
      if (start_one) begin();
    }
  }
  if (listener) tell({std::move(listener)}, verdict);
  if (!start_one) return;
  changed_.notify_all();
  batcher_.run_next([this] { run_on_device(); });
}

void HealthCheck::begin() {
  started_ = Clock::now();
  ++number_;
}

HealthCheck::Waiting HealthCheck::record(Verdict verdict) {
  checked_ = Clock::now();
  checked_once_ = true;
  verdict_ = std::move(verdict);
  return std::exchange(waiting_, {});
}

void HealthCheck::tell(const Waiting& waiting, const Verdict& verdict) {
  for (const Listener& listener : waiting) {
    threads_.post(CallThreads::Lane::small, [listener, verdict] { listener(verdict); });
  }
}

void HealthCheck::run_on_device() {
  const Verdict verdict = check_models();
  Waiting waiting;
  {
    const std::lock_guard lock(mutex_);
    running_ = false;
    waiting = record(verdict);
  }
  changed_.notify_all();
  tell(waiting, verdict);
}

HealthCheck::Verdict HealthCheck::check_models() {
  for (const auto& model : models_.all()) {
    std::string what = "unknown exception";
    try {
      check_model(model);
      continue;
    } catch (const std::exception& exception) {
      what = exception.what();
    } catch (...) {
      log::error("a health check threw what is no std::exception");
    }
    const std::string& name = model.encoder->description().name;
    log::error("unhealthy", {{"model", name}, {"what", log::printable(what, 512)}});
    return errors::unhealthy(fmt::format("{}: {}", name, what));
  }
  return std::nullopt;
}

void HealthCheck::watch() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    changed_.wait(lock, [this] { return running_ || stopping_; });
    // The number tells the check that this watches from one that began in the meantime.
    const auto over = [this, number = number_] {
      return !running_ || number_ != number || stopping_;
    };
    if (changed_.wait_until(lock, started_ + timeout_, over)) continue;
    const Verdict verdict =
        errors::unhealthy(fmt::format("no answer from the device within {} ms", timeout_.count()));
    const Waiting waiting = record(verdict);
    lock.unlock();
    log::error("unhealthy", {{"what", "the device is stuck"}});
    tell(waiting, verdict);
    lock.lock();
    changed_.wait(lock, over);
  }
}

void HealthCheck::stop() {
  Waiting waiting;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    waiting.swap(waiting_);
  }
  changed_.notify_all();
  if (watchdog_.joinable()) watchdog_.join();
  tell(waiting, errors::draining());
}

}  // namespace ml_worker
