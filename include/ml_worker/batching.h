// The queue in front of a device: work waits here until the device is free, then goes in batches.
//
// One bounded first-in-first-out queue; a batch is whatever waits when the device thread is free,
// up to a budget of tokens, never delayed artificially. What to take is a pure function
// (`select_batch`), the thread only calls it.
#pragma once

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
#include "ml_worker/histogram.h"

namespace ml_worker {

using Clock = std::chrono::steady_clock;

/// What happened to one text of a batch.
struct ForwardTimes {
  Clock::time_point started;  ///< when its batch was formed
  Clock::time_point finished;
};

/// Whether somebody still waits for a text.
enum class Interest {
  wanted,
  cancelled,  ///< nobody: it is dropped
  late,       ///< it was to be started by a time that has passed: it is refused
};

/// Interactive work goes first; bulk work takes what it leaves.
enum class Priority { interactive, bulk };

/// An EncoderInput that owns its ids, because it has to wait.
struct QueuedInput {
  std::vector<std::int32_t> ids;
  std::size_t second_start = 0;
  std::size_t unpooled = 0;

  EncoderInput view() const {
    EncoderInput input(ids);
    input.second_start = second_start;
    input.unpooled = unpooled;
    return input;
  }
};

/// One text, or one pair of texts, on its way through the device.
struct WorkItem {
  std::shared_ptr<Encoder> encoder;
  QueuedInput input;
  EncoderOutput output = EncoderOutput::vectors;
  Priority priority = Priority::interactive;
  /// Decides the order only; that a text came too late is for `interest` to say.
  std::optional<Clock::time_point> deadline;
  /// Callers share the device evenly. What one number stands for is up to whoever submits.
  std::uint64_t caller = 0;
  /// Asked, without any lock held, when a batch is formed, maybe several times before its turn.
  /// After an answer other than `wanted` it is not asked again and the item costs no forward pass.
  /// A function and not a time, because several callers may wait for one text. None: wanted.
  std::function<Interest()> interest;
  /// Called exactly once, without any lock held, unless submit() refused the item: the rows that
  /// the encoder gave for `input` (of `vectors` one, of `tokens` one per token; valid during the
  /// call), or the error: model_failed, deadline_exceeded (late; also cancelled, where nobody
  /// listens) or draining. Must be quick and must not throw.
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
  HistogramSnapshot batch_texts;
  HistogramSnapshot batch_tokens;
};

/// What the policy sees of a waiting text.
struct Waiting {
  const Encoder* encoder;
  std::size_t tokens;
  EncoderOutput output = EncoderOutput::vectors;
  Priority priority = Priority::interactive;
  std::optional<Clock::time_point> deadline = std::nullopt;
  std::uint64_t caller = 0;
};

/// Indices (ascending) of the texts that make the next batch: the first in the queue, then every
/// following one of the same encoder and output that still fits into `batch_tokens`, first come
/// first served. A text longer than the budget goes alone. Empty only if `queue` is.
std::vector<std::size_t> select_batch(std::span<const Waiting> queue, std::size_t batch_tokens);

class Batcher {
 public:
  explicit Batcher(BatchingOptions options);
  /// Stops: the running batch ends, waiting items get `draining`.
  ~Batcher();
  Batcher(const Batcher&) = delete;
  Batcher& operator=(const Batcher&) = delete;

  /// All or nothing: either every item is queued, or none (`overloaded` with the time after which
  /// there should be room, or `draining`) and no `done` is called. An empty queue takes any
  /// submission: otherwise one that is larger than the bound could never succeed.
  std::optional<Error> submit(std::vector<WorkItem> items);

  /// Runs `task` on the device thread, before waiting texts: what a health check needs. `task` is
  /// dropped once the batcher has stopped.
  void run_next(std::function<void()> task);

  /// Seconds a new text would wait, from queued, running and `further_tokens` and the measured
  /// speed (before the first batch: a guess). Finite, at least 0.
  double wait_seconds(std::size_t further_tokens = 0) const;
  /// True if a submission would be refused as `overloaded` now.
  bool full() const;
  BatchingStats stats() const;

  /// No new work; returns when all queued work is answered.
  void drain();
  /// What the destructor does, while the object can still be asked: afterwards submit() answers
  /// `draining`.
  void stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ml_worker
