#include "model/parallel_product.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdint>

namespace ml_worker {
namespace {

/// Multiplications for which it is worth to wake a thread: some 10 µs.
constexpr std::size_t kWorth = std::size_t{1} << 18;

/// Rows of a thread for which it is worth that each reads all weights.
constexpr std::size_t kWorthWeights = 48;

/// Part `index` of `parts` of about the same size.
Range part_of(std::size_t size, std::size_t index, std::size_t parts) {
  return {size * index / parts, size * (index + 1) / parts};
}

}  // namespace

void compute_in_parallel(std::size_t rows, std::size_t out, std::size_t in,
                         const std::function<void(Range rows, Range panels)>& compute) {
  const std::size_t panels = panels_of(out);
  const auto threads = static_cast<std::size_t>(at::get_num_threads());
  const std::size_t parts = std::clamp<std::size_t>(rows * out * in / kWorth, 1, threads);
  // Each has rows of its own; of few, panels, so that weights are read only once.
  const bool by_rows = rows >= parts * kWorthWeights;
  const auto last = static_cast<std::int64_t>(parts);
  at::parallel_for(0, last, 1, [&](std::int64_t begin, std::int64_t end) {
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
      const Range own_rows = by_rows ? part_of(rows, i, parts) : Range{0, rows};
      compute(own_rows, by_rows ? Range{0, panels} : part_of(panels, i, parts));
    }
  });
}

}  // namespace ml_worker
