#include "batching/policy.h"

#include <algorithm>
#include <tuple>

namespace ml_worker {
namespace {

using Indices = std::vector<std::size_t>;

constexpr std::size_t kInteractiveBudgets = 4;
/// Smaller batches cost more in calls than a second lane gains.
constexpr std::size_t kSmallestPart = 256;

Indices of_class(std::span<const Waiting> queue, Priority priority) {
  Indices indices;
  for (std::size_t i = 0; i < queue.size(); ++i) {
    if (queue[i].priority == priority) indices.push_back(i);
  }
  return indices;
}

Indices whose_turn_it_is(std::span<const Waiting> queue, const Turn& turn) {
  Indices interactive = of_class(queue, Priority::interactive);
  if (interactive.size() == queue.size()) return interactive;
  const bool bulk = turn.interactive_tokens >= kInteractiveBudgets * turn.batch_tokens;
  return interactive.empty() || bulk ? of_class(queue, Priority::bulk) : interactive;
}

void sort_by_urgency(std::span<const Waiting> queue, std::size_t batch_tokens, Indices& indices) {
  std::uint64_t head = UINT64_MAX;
  for (const std::size_t i : indices) head = std::min(head, queue[i].share);
  const auto rank = [&](std::size_t i) {
    const Waiting& text = queue[i];
    const std::uint64_t ahead = text.share - head;
    return std::tuple(ahead <= batch_tokens ? 0 : ahead, text.due, text.share, i);
  };
  std::sort(indices.begin(), indices.end(),
            [&](std::size_t a, std::size_t b) { return rank(a) < rank(b); });
}

void keep_computed_together(std::span<const Waiting> queue, Indices& indices) {
  const Waiting& first = queue[indices.front()];
  std::erase_if(indices, [&](std::size_t i) {
    return queue[i].encoder != first.encoder || queue[i].output != first.output;
  });
}

/// What this lane may take of texts that several lanes could compute.
std::size_t budget(std::span<const Waiting> queue, const Indices& indices, const Turn& turn) {
  std::size_t tokens = 0;
  for (const std::size_t i : indices) tokens += queue[i].tokens;
  const std::size_t lanes = std::max<std::size_t>(turn.idle_lanes, 1);
  const std::size_t part = std::max((tokens + lanes - 1) / lanes, kSmallestPart);
  return std::min(part, turn.batch_tokens);
}

/// The first, whatever its length, and all that fit beside it.
Indices fill(std::span<const Waiting> queue, const Indices& indices, std::size_t batch_tokens) {
  Indices taken;
  std::size_t used = 0;
  for (const std::size_t i : indices) {
    if (!taken.empty() && queue[i].tokens + used > batch_tokens) continue;
    taken.push_back(i);
    used += queue[i].tokens;
  }
  return taken;
}

}  // namespace

std::vector<std::size_t> select_batch(std::span<const Waiting> queue, const Turn& turn) {
  if (queue.empty()) return {};
  Indices indices = whose_turn_it_is(queue, turn);
  sort_by_urgency(queue, turn.batch_tokens, indices);
  keep_computed_together(queue, indices);
  Indices taken = fill(queue, indices, budget(queue, indices, turn));
  std::sort(taken.begin(), taken.end());
  return taken;
}

}  // namespace ml_worker
