#include "ml_worker/batching.h"

namespace ml_worker {
namespace {

bool computed_together(const Waiting& a, const Waiting& b) {
  return a.encoder == b.encoder && a.output == b.output;
}

}  // namespace

std::vector<std::size_t> select_batch(std::span<const Waiting> queue, std::size_t batch_tokens) {
  std::vector<std::size_t> chosen;
  if (queue.empty()) return chosen;
  chosen.push_back(0);
  std::size_t used = queue[0].tokens;
  for (std::size_t i = 1; i < queue.size() && used < batch_tokens; ++i) {
    const bool fits = queue[i].tokens <= batch_tokens - used;
    if (!fits || !computed_together(queue[i], queue[0])) continue;
    chosen.push_back(i);
    used += queue[i].tokens;
  }
  return chosen;
}

}  // namespace ml_worker
