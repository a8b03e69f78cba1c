// What a forward pass is as large as, and the numbers that it is given: for a graph, which has one
// size, a batch is filled up with texts that nobody asked for.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <vector>

#include "model/architecture.h"
#include "model/packing.h"

namespace ml_worker {

struct PassShape {
  std::int64_t tokens = 0;
  std::int64_t texts = 0;
  std::int64_t longest = 0;  ///< tokens of a text: an upper bound

  /// Of the tensors of a Pass, one behind the other.
  std::int64_t numbers() const { return 3 * tokens + texts + 1; }
  auto operator<=>(const PassShape&) const = default;
};

PassShape shape_of(const Packing& packing);

/// The shape of the graph that takes such a batch: at most an eighth more tokens (below 128: up to
/// 15 more), of up to four times as many texts (empty ones cost next to nothing), so that few
/// graphs serve all batches. None for a batch so large that its kernels take longer than their
/// launches.
std::optional<PassShape> graph_shape(const PassShape& exact);

/// The tensors of a Pass of `shape`: ids, rows, places (`tokens` numbers each), bounds (`texts` +
/// 1). What the batch leaves free are texts of the token 0, at most `longest` long, behind all
/// others, and then empty ones. REQUIRES: `shape` is that of `tokens`, or its graph_shape().
std::vector<std::int32_t> pass_numbers(const TransformerConfig& config, const PackedTokens& tokens,
                                       const PassShape& shape);

}  // namespace ml_worker
