#include "model/pass_shape.h"

#include <algorithm>
#include <bit>

#include "model/embedding.h"

namespace ml_worker {
namespace {

constexpr std::uint64_t kLargestGraph = 4096;
/// Rows of queries that FlashAttention takes at once: shorter texts take no less.
constexpr std::uint64_t kShortest = 128;

/// `values`, with zeros up to `size`.
void append(const std::vector<std::int32_t>& values, std::int64_t size,
            std::vector<std::int32_t>& to) {
  to.insert(to.end(), values.begin(), values.end());
  to.insert(to.end(), static_cast<std::size_t>(size) - values.size(), 0);
}

/// The least that is not below `value`.
std::uint64_t power_of_four(std::uint64_t value) {
  const std::uint64_t power = std::bit_ceil(value);
  return std::countr_zero(power) % 2 == 0 ? power : 2 * power;
}

std::vector<std::int32_t> filled_bounds(const Packing& packing, const PassShape& shape) {
  std::vector<std::int32_t> bounds = text_bounds(packing);
  while (bounds.size() < static_cast<std::size_t>(shape.texts) + 1) {
    bounds.push_back(static_cast<std::int32_t>(
        std::min(shape.tokens, std::int64_t{bounds.back()} + shape.longest)));
  }
  return bounds;
}

}  // namespace

PassShape shape_of(const Packing& packing) {
  return {static_cast<std::int64_t>(packing.tokens),
          static_cast<std::int64_t>(packing.order.size()), longest_text(packing)};
}

std::optional<PassShape> graph_shape(const PassShape& exact) {
  const auto tokens = static_cast<std::uint64_t>(exact.tokens);
  if (tokens == 0 || tokens > kLargestGraph) return std::nullopt;
  const std::uint64_t bucket = next_size(tokens, 8, 16);
  const std::uint64_t longest =
      std::bit_ceil(std::max(static_cast<std::uint64_t>(exact.longest), kShortest));
  const std::uint64_t fillers = (bucket - tokens + longest - 1) / longest;
  const std::uint64_t texts = power_of_four(static_cast<std::uint64_t>(exact.texts) + fillers);
  return PassShape{static_cast<std::int64_t>(bucket), static_cast<std::int64_t>(texts),
                   static_cast<std::int64_t>(longest)};
}

std::vector<std::int32_t> pass_numbers(const TransformerConfig& config, const PackedTokens& tokens,
                                       const PassShape& shape) {
  std::vector<std::int32_t> numbers;
  numbers.reserve(static_cast<std::size_t>(shape.numbers()));
  append(tokens.ids, shape.tokens, numbers);
  append(position_rows(config, tokens), shape.tokens, numbers);
  append(places_in_text(tokens.packing), shape.tokens, numbers);
  append(filled_bounds(tokens.packing, shape), shape.texts + 1, numbers);
  return numbers;
}

}  // namespace ml_worker
