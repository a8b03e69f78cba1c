#include "model/packing.h"

#include <algorithm>
#include <bit>
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

std::size_t next_size(std::size_t size, std::size_t per_octave, std::size_t least_step) {
  const std::size_t step = std::max(std::bit_floor(size) / per_octave, least_step);
  return (size + step - 1) / step * step;
}

std::size_t rows_for(std::size_t tokens) { return next_size(tokens, 16, tokens <= 32 ? 2 : 8); }

std::vector<std::int32_t> text_bounds(const Packing& packing) {
  std::vector<std::int32_t> bounds;
  bounds.reserve(packing.order.size() + 1);
  for (const std::size_t text : packing.order) {
    bounds.push_back(static_cast<std::int32_t>(packing.first_tokens[text]));
  }
  bounds.push_back(static_cast<std::int32_t>(packing.tokens));
  return bounds;
}

std::int64_t longest_text(const Packing& packing) {
  return packing.groups.empty() ? 0 : static_cast<std::int64_t>(packing.groups.back().length);
}

PackedTokens pack_tokens(std::span<const EncoderInput> inputs) {
  std::vector<std::size_t> lengths(inputs.size());
  std::transform(inputs.begin(), inputs.end(), lengths.begin(),
                 [](const EncoderInput& input) { return input.ids.size(); });
  PackedTokens packed;
  packed.packing = pack(lengths);
  packed.ids.reserve(packed.packing.tokens);
  packed.types.reserve(packed.packing.tokens);
  for (const std::size_t text : packed.packing.order) {
    const EncoderInput& input = inputs[text];
    const std::size_t first = input.second_start == 0 ? input.ids.size() : input.second_start;
    packed.ids.insert(packed.ids.end(), input.ids.begin(), input.ids.end());
    packed.types.insert(packed.types.end(), first, 0);
    packed.types.insert(packed.types.end(), input.ids.size() - first, 1);
  }
  return packed;
}

}  // namespace ml_worker
