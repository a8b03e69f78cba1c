#include "service/load.h"

#include <algorithm>

namespace ml_worker {
namespace {

/// Text that is not tokenized yet counts by a usual length of a token.
constexpr std::size_t kBytesPerToken = 4;
constexpr double kShortestRetrySeconds = 0.01;
constexpr double kLongestRetrySeconds = 60.0;

double wait_seconds(const Core& core) {
  return core.batcher.wait_seconds(core.admission->untokenized_bytes() / kBytesPerToken);
}

}  // namespace

std::chrono::milliseconds retry_after(const Core& core) {
  const double seconds =
      std::clamp(wait_seconds(core), kShortestRetrySeconds, kLongestRetrySeconds);
  return std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000.0));
}

Result<Value> load_value(const Core& core) {
  if (core.batcher.full() || core.admission->full()) return errors::overloaded(retry_after(core));
  return Value(wait_seconds(core));
}

}  // namespace ml_worker
