#include "model/packing.h"

#include <algorithm>
#include <numeric>

namespace ml_worker {

Packing pack(std::span<const std::size_t> lengths) {
  Packing packing;
  packing.order.resize(lengths.size());
  packing.first_tokens.resize(lengths.size());
  std::iota(packing.order.begin(), packing.order.end(), std::size_t{0});
  std::stable_sort(packing.order.begin(), packing.order.end(),
                   [&](std::size_t a, std::size_t b) { return lengths[a] < lengths[b]; });
  for (const std::size_t text : packing.order) {
    const std::size_t length = lengths[text];
    packing.first_tokens[text] = packing.tokens;
    if (packing.groups.empty() || packing.groups.back().length != length) {
      packing.groups.push_back({packing.tokens, 0, length});
    }
    ++packing.groups.back().texts;
    packing.tokens += length;
  }
  return packing;
}

}  // namespace ml_worker
