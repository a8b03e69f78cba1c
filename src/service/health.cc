#include "service/health.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>

#include "ml_worker/log.h"

namespace ml_worker {
namespace {

constexpr std::string_view kText = "the quick brown fox jumps over the lazy dog";
/// float16 on another batch shape stays far above this; a poisoned device does not.
constexpr double kSmallestCosine = 0.999;

double dot(std::span<const float> a, std::span<const float> b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += double{a[i]} * double{b[i]};
  return sum;
}

std::vector<float> compute(Encoder& model) {
  const ModelDescription& description = model.description();
  const Tokens tokens =
      model.tokenizer().encode(kText, description.max_tokens, description.truncation_side);
  const std::vector<EncoderInput> inputs{EncoderInput(tokens.ids)};
  std::vector<float> vector(description.dimensions);
  model.replica(0).forward(inputs, EncoderOutput::vectors, vector);
  return vector;
}

/// Throws what is wrong with a vector in itself.
void require_plausible(std::span<const float> vector) {
  const bool finite =
      std::all_of(vector.begin(), vector.end(), [](float x) { return std::isfinite(x); });
  if (!finite) throw std::runtime_error("not finite");
  if (dot(vector, vector) == 0.0) throw std::runtime_error("all zeros");
}

void require_same_direction(std::span<const float> vector, std::span<const float> reference) {
  const double norms = std::sqrt(dot(vector, vector)) * std::sqrt(dot(reference, reference));
  const double cosine = dot(vector, reference) / norms;
  if (cosine >= kSmallestCosine) return;
  throw std::runtime_error(
      fmt::format("the vector of a fixed text has changed: cosine {:.4f} to the first", cosine));
}

}  // namespace

HealthCheck::HealthCheck(Batcher& batcher, const ModelTable& models, CallThreads& threads,
                         Times times)
    : batcher_(batcher), models_(models), threads_(threads), times_(times), watchdog_([this] {
        watch();
      }) {}

HealthCheck::~HealthCheck() { stop(); }

std::optional<Error> HealthCheck::failure() const {
  const std::lock_guard lock(mutex_);
  return verdict_;
}

bool HealthCheck::fresh() const {
  return checked_once_ && Clock::now() - checked_ < times_.max_age;
}

bool HealthCheck::overdue() const { return running_ && Clock::now() - started_ >= times_.timeout; }

void HealthCheck::check(std::shared_ptr<Call> call) {
  Verdict verdict;
  bool start_one = false;
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) {
      verdict = errors::draining();
    } else if (fresh() || overdue()) {
      verdict = verdict_;
    } else {
      waiting_.push_back(std::exchange(call, nullptr));
      start_one = !std::exchange(running_, true);
      if (start_one) begin();
    }
  }
  if (call) answer({std::move(call)}, verdict);
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

void HealthCheck::answer(const Waiting& waiting, const Verdict& verdict) {
  for (const auto& call : waiting) {
    threads_.post(CallThreads::Lane::small,
                  [call, verdict] { verdict ? call->fail(*verdict) : call->answer(atom("ok")); });
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
  answer(waiting, verdict);
}

HealthCheck::Verdict HealthCheck::check_models() {
  for (const auto& model : models_.all()) {
    std::string what = "unknown exception";
    try {
      check_model(*model);
      continue;
    } catch (const std::exception& exception) {
      what = exception.what();
    } catch (...) {
      log::error("a health check threw what is no std::exception");
    }
    const std::string& name = model->description().name;
    log::error("unhealthy", {{"model", name}, {"what", log::printable(what, 512)}});
    return errors::unhealthy(fmt::format("{}: {}", name, what));
  }
  return std::nullopt;
}

void HealthCheck::check_model(Encoder& model) {
  std::vector<float> vector = compute(model);
  require_plausible(vector);
  const auto reference = references_.try_emplace(&model, vector).first;
  require_same_direction(vector, reference->second);
}

void HealthCheck::watch() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    changed_.wait(lock, [this] { return running_ || stopping_; });
    // The number tells the check that this watches from one that began in the meantime.
    const auto over = [this, number = number_] {
      return !running_ || number_ != number || stopping_;
    };
    if (changed_.wait_until(lock, started_ + times_.timeout, over)) continue;
    const Verdict verdict = errors::unhealthy(
        fmt::format("no answer from the device within {} ms", times_.timeout.count()));
    const Waiting waiting = record(verdict);
    lock.unlock();
    log::error("unhealthy", {{"what", "the device is stuck"}});
    answer(waiting, verdict);
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
  answer(waiting, errors::draining());
}

}  // namespace ml_worker
