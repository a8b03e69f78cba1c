// The transformer encoder of every architecture (architecture.h) on libtorch: token ids in, token
// vectors out. Texts lie side by side, without padding: see packing.h.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "model/architecture.h"
#include "model/packing.h"
#include "model/precision.h"
#include "model/weights.h"

namespace ml_worker {

/// Where the encoder's tensors are: checkpoints of a model with a head have them below a prefix.
std::string encoder_prefix(const Architecture& architecture, const Weights& weights);

class Transformer {
 public:
  /// Takes the weights over: linear layers as reordered copies, embeddings as views of the file.
  /// Throws StartupError(ExitCode::model).
  Transformer(const TransformerConfig& config, const Weights& weights, Precision precision);
  ~Transformer();
  Transformer(const Transformer&) = delete;
  Transformer& operator=(const Transformer&) = delete;

  /// The last layer's output, row-major [tokens, hidden]. The rows of a text are the same to the
  /// bit whatever else is packed with it. Any number of threads may call it.
  /// Throws std::exception: libtorch's own kind stops here.
  std::vector<float> forward(const PackedTokens& tokens) const;

  std::size_t weight_bytes() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ml_worker
