// The queue in front of a device: work waits here until the device is free, then goes in batches.
//
// One bounded first-in-first-out queue; a batch is whatever waits when the device thread is free,
// up to a budget of tokens, never delayed artificially. What to take is a pure function
// (`select_batch`), the thread only calls it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "ml_worker/encoder.h"
#include "ml_worker/error.h"

namespace ml_worker {

using Clock = std::chrono::steady_clock;

/// What happened to one text of a batch.
struct ForwardTimes {
  Clock::time_point started;  ///< when its batch was formed
  Clock::time_point finished;
};

/// One text on its way through the device.
struct WorkItem {
  std::shared_ptr<Encoder> encoder;
  std::vector<std::int32_t> ids;
  /// Work not started by then is refused with deadline_exceeded.
  std::optional<Clock::time_point> deadline;
  /// Asked when a batch is formed: true drops the item (and calls `done` with nothing computed).
  std::function<bool()> cancelled;
  /// Called exactly once, from the device thread, unless submit() refused the item: the raw vector
  /// ([dimensions]; valid during the call), or the error. Must be quick and must not throw.
  std::function<void(Result<std::span<const float>>, const ForwardTimes&)> done;
};

struct BatchingOptions {
  std::size_t batch_tokens = 2048;     ///< token budget of one forward pass
  std::size_t queue_tokens = 4000000;  ///< tokens that may wait; more is `overloaded`
};

struct BatchingStats {
  std::size_t queued_texts = 0;
  std::size_t queued_tokens = 0;
  std::size_t running_tokens = 0;
  std::uint64_t batches = 0;
  std::uint64_t texts = 0;
  std::uint64_t tokens = 0;
  std::uint64_t cancelled = 0;  ///< dropped before they cost a forward pass
  std::uint64_t late = 0;       ///< refused with deadline_exceeded
  std::uint64_t failed = 0;
  double tokens_per_second = 0.0;  ///< measured while computing; 0 before the first batch
};

/// What the policy sees of a waiting text.
struct Waiting {
  const Encoder* encoder;
  std::size_t tokens;
};

/// Indices (ascending) of the texts that make the next batch: the first in the queue, then every
/// following one of the same encoder that still fits into `batch_tokens`, first come first served.
/// A text longer than the budget goes alone. Empty only if `queue` is.
std::vector<std::size_t> select_batch(std::span<const Waiting> queue, std::size_t batch_tokens);

class Batcher {
 public:
  explicit Batcher(BatchingOptions options);
  /// Stops: the running batch ends, waiting items get `draining`.
  ~Batcher();
  Batcher(const Batcher&) = delete;
  Batcher& operator=(const Batcher&) = delete;

  /// All or nothing: either every item is queued, or none (`overloaded` with the time after which
  /// there should be room, or `draining`) and no `done` is called.
  std::optional<Error> submit(std::vector<WorkItem> items);

  /// Runs `task` on the device thread, before waiting texts: what a health check needs.
  void run_next(std::function<void()> task);

  /// Seconds a new text would wait, from queued and running tokens and the measured speed.
  double wait_seconds() const;
  BatchingStats stats() const;

  /// No new work; returns when all queued work is answered.
  void drain();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ml_worker
