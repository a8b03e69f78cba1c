// Runs a batch through its encoder and hands every text its row or its error.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ml_worker/batching.h"

namespace ml_worker {

struct ForwardCounts {
  std::size_t texts = 0;   ///< computed
  std::size_t tokens = 0;  ///< of those
  std::size_t failed = 0;
  std::string last_failure = {};
};

/// Told what was computed before its results are handed out: whoever has an answer finds it
/// counted.
using Counted = std::function<void(const ForwardCounts& further)>;

/// Calls `done` of every item of `batch` (one encoder and output, not empty). When a batch of
/// several texts fails, its texts run again alone, so that one bad text fails nobody else's. `rows`
/// is the buffer for what the encoder gives, kept between calls.
ForwardCounts forward_batch(const std::vector<WorkItem>& batch, std::size_t lane,
                            Clock::time_point started, std::vector<float>& rows,
                            const Counted& counted);

/// `item.done`, with whatever it throws contained: the device thread must go on.
void finish_item(const WorkItem& item, const Result<std::span<const float>>& result,
                 const ForwardTimes& times);

}  // namespace ml_worker
