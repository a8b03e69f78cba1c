// Pooling where the states are: what leaves the device is a vector per text and not one per token.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "ml_worker/encoder.h"
#include "model/packing.h"
#include "model/pooling.h"

namespace ml_worker {

struct PoolingTables {
  std::vector<std::int32_t> lengths;  ///< of each text, as they lie
  /// For each mode a number per token, row-major [modes, tokens]: what the token is multiplied by
  /// before a text's are summed; for `max` what is added before the largest is taken.
  std::vector<float> weights;
};

PoolingTables pooling_tables(std::span<const PoolingMode> modes,
                             std::span<const EncoderInput> inputs, const Packing& packing);

/// As pool() does it, for all texts. `states`: [tokens, hidden] of any type; `lengths`: [texts]
/// int32, `weights`: [modes, tokens] float32, both where the states are. Result: [texts, modes ·
/// hidden] float32, texts as they lie.
at::Tensor pool_packed(std::span<const PoolingMode> modes, const at::Tensor& states,
                       const at::Tensor& lengths, const at::Tensor& weights);

}  // namespace ml_worker
