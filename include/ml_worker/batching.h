// The queue in front of the devices: work waits here until one is free, then goes in batches.
//
// One bounded queue for all. A batch is whatever waits when a lane (a thread with a replica of each
// model) is free, up to a budget of tokens, never delayed artificially. Who goes next is a pure
// function (src/batching/policy.h): interactive before bulk, callers evenly, deadlines first.
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
  served,     ///< another item has taken over: it is dropped and `done` is not called
};

/// Interactive work goes first; bulk work takes what it leaves.
enum class Priority { interactive, bulk };  ///< the higher one first

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
  /// Asked when a batch is formed, maybe several times before its turn. With the queue's lock held:
  /// must be quick, must not throw and must not call the batcher. After an answer other than
  /// `wanted` it is not asked again and the item costs no forward pass. A function and not a time,
  /// because several callers may wait for one text. None: wanted.
  std::function<Interest()> interest;
  /// Asked once, without any lock held, when its turn has come: whether it is to be computed.
  /// False: another item has taken over, as above. None: yes.
  std::function<bool()> claim;
  /// Called exactly once, without any lock held, unless submit() refused the item or another one
  /// has taken over: the rows that the encoder gave for `input` (of `vectors` one, of `tokens` one
  /// per token; valid during the call), or the error: model_failed, deadline_exceeded (late; also
  /// cancelled, where nobody listens) or draining. Must be quick and must not throw.
  std::function<void(Result<std::span<const float>>, const ForwardTimes&)> done;
};

/// Of all items together.
std::size_t tokens_of(const std::vector<WorkItem>& items);

struct BatchingOptions {
  std::size_t batch_tokens = 2048;     ///< token budget of one forward pass
  std::size_t queue_tokens = 4000000;  ///< tokens that may wait; more is `overloaded`
  std::size_t lanes = 1;               ///< forward passes at the same time
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

class Batcher {
 public:
  explicit Batcher(BatchingOptions options);
  /// Stops: running batches end, waiting items get `draining`.
  ~Batcher();
  Batcher(const Batcher&) = delete;
  Batcher& operator=(const Batcher&) = delete;

  /// In the order of their lengths, if nothing else decides. All or nothing: either every item is
  /// queued, or none (`overloaded` with the time after which there should be room, or `draining`)
  /// and no `done` is called. An empty queue takes any submission: otherwise one that is larger
  /// than the bound could never succeed. Bulk work may fill three quarters of it. `to_come`: tokens
  /// that will follow by submit_rest(), for which there must be room too.
  std::optional<Error> submit(std::vector<WorkItem> items, std::size_t to_come = 0);

  /// More of what submit() has taken the first part of: refused with `draining` only, so that
  /// nobody is refused half way. Whoever submits bounds it.
  std::optional<Error> submit_rest(std::vector<WorkItem> items);

  /// Runs `task` on the thread of the first lane, before waiting texts: what a health check needs.
  /// `task` is dropped once the batcher has stopped.
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
