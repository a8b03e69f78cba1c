#include "model/device_encoder.h"

#include <algorithm>
#include <atomic>
#include <limits>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "ml_worker/log.h"
#include "model/device_fault.h"

namespace ml_worker {
namespace {

constexpr std::size_t kUnbounded = std::numeric_limits<std::size_t>::max();

std::size_t tokens_of(std::span<const EncoderInput> inputs) {
  std::size_t tokens = 0;
  for (const EncoderInput& input : inputs) tokens += input.ids.size();
  return tokens;
}

/// What the replicas of a model have learnt about their devices.
class Lessons {
 public:
  std::size_t budget() const { return budget_; }

  void did_not_fit(std::size_t tokens) {
    std::size_t known = budget_;
    const std::size_t half = std::max<std::size_t>(tokens / 2, 1);
    while (half < known && !budget_.compare_exchange_weak(known, half)) {
    }
    log::warning("GPU out of memory: batches are smaller from now on",
                 {{"tokens", std::to_string(std::min(half, known))}});
  }

  void lost(const std::string& why) {
    const std::lock_guard lock(mutex_);
    if (!lost_) lost_ = why;
  }

  /// Throws DeviceLost if a device is.
  void check() const {
    const std::lock_guard lock(mutex_);
    if (lost_) throw DeviceLost(*lost_);
  }

 private:
  std::atomic<std::size_t> budget_ = kUnbounded;
  mutable std::mutex mutex_;
  std::optional<std::string> lost_;
};

class GuardedReplica : public Encoder {
 public:
  GuardedReplica(std::unique_ptr<Encoder> replica, std::shared_ptr<Lessons> lessons)
      : replica_(std::move(replica)), lessons_(std::move(lessons)) {}

  const ModelDescription& description() const override { return replica_->description(); }
  const Tokenizer& tokenizer() const override { return replica_->tokenizer(); }

  void forward(std::span<const EncoderInput> inputs, EncoderOutput output,
               std::span<float> rows) override {
    lessons_->check();
    if (rows.size() != floats_of(description(), inputs, output)) {
      throw EncoderError("room for other rows");
    }
    while (!inputs.empty()) {
      const auto part = inputs.first(leading_texts(inputs, lessons_->budget()));
      const std::size_t floats = floats_of(description(), part, output);
      if (!fits(part, output, rows.first(floats))) continue;
      inputs = inputs.subspan(part.size());
      rows = rows.subspan(floats);
    }
  }

 private:
  bool fits(std::span<const EncoderInput> part, EncoderOutput output, std::span<float> rows) {
    try {
      replica_->forward(part, output, rows);
      return true;
    } catch (const OutOfDeviceMemory&) {
      lessons_->did_not_fit(tokens_of(part));
      if (part.size() == 1) throw;
      return false;
    } catch (const DeviceLost& error) {
      lessons_->lost(error.what());
      throw;
    }
  }

  std::unique_ptr<Encoder> replica_;
  std::shared_ptr<Lessons> lessons_;
};

class DeviceEncoder : public Encoder {
 public:
  DeviceEncoder(std::vector<std::unique_ptr<Encoder>> replicas,
                std::function<std::vector<DeviceStatus>()> status)
      : status_(std::move(status)) {
    for (auto& replica : replicas) {
      replicas_.push_back(std::make_unique<GuardedReplica>(std::move(replica), lessons_));
    }
  }

  const ModelDescription& description() const override { return replicas_.front()->description(); }
  const Tokenizer& tokenizer() const override { return replicas_.front()->tokenizer(); }
  void forward(std::span<const EncoderInput> inputs, EncoderOutput output,
               std::span<float> rows) override {
    replicas_.front()->forward(inputs, output, rows);
  }
  std::size_t replicas() const override { return replicas_.size(); }
  Encoder& replica(std::size_t index) override { return *replicas_.at(index); }

  std::vector<DeviceStatus> devices() const override {
    std::vector<DeviceStatus> devices = status_();
    const std::size_t budget = lessons_->budget();
    for (DeviceStatus& device : devices) device.batch_tokens = budget == kUnbounded ? 0 : budget;
    return devices;
  }

 private:
  std::function<std::vector<DeviceStatus>()> status_;
  std::shared_ptr<Lessons> lessons_ = std::make_shared<Lessons>();
  std::vector<std::unique_ptr<Encoder>> replicas_;
};

}  // namespace

std::size_t leading_texts(std::span<const EncoderInput> inputs, std::size_t budget) {
  std::size_t tokens = 0;
  std::size_t texts = 0;
  for (const EncoderInput& input : inputs) {
    tokens += input.ids.size();
    if (texts > 0 && tokens > budget) break;
    ++texts;
  }
  return texts;
}

std::unique_ptr<Encoder> make_device_encoder(std::vector<std::unique_ptr<Encoder>> replicas,
                                             std::function<std::vector<DeviceStatus>()> status) {
  return std::make_unique<DeviceEncoder>(std::move(replicas), std::move(status));
}

}  // namespace ml_worker
