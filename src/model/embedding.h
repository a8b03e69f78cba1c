// Token ids to the first layer's input: words, places and token types, summed and normalised.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "model/architecture.h"
#include "model/layers.h"
#include "model/packing.h"
#include "model/tensor_reader.h"

namespace ml_worker {

/// Place of each token in its text, from 0.
std::vector<std::int32_t> places_in_text(const Packing& packing);

/// Row of each token in the table of positions: its place, as the architecture counts.
std::vector<std::int32_t> position_rows(const TransformerConfig& config,
                                        const PackedTokens& tokens);

class Embedding {
 public:
  Embedding(const TransformerConfig& config, TensorReader& reader);
  /// [tokens, hidden] float32. `ids`, `rows`: [tokens] int32, where the weights are; `rows` as of
  /// position_rows(), unused where the architecture has no table of positions.
  at::Tensor apply(const at::Tensor& ids, const at::Tensor& rows) const;

 private:
  at::Tensor words_;      ///< [vocabulary, hidden]
  at::Tensor positions_;  ///< [types · positions, hidden]: each with the embedding of a type added
  LayerNorm norm_;
};

}  // namespace ml_worker
