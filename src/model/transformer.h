// The transformer encoder of every architecture (architecture.h) on libtorch: token ids in, token
// vectors out. Texts lie side by side, without padding: see packing.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <memory>
#include <vector>

#include "model/architecture.h"
#include "model/packing.h"
#include "model/weights.h"

namespace ml_worker {

struct Kernels;
struct Pass;

/// Where the encoder's tensors are: checkpoints of a model with a head have them below a prefix.
std::string encoder_prefix(const Architecture& architecture, const Weights& weights);

class Transformer {
 public:
  /// Takes the weights over: on the CPU linear layers as reordered copies and embeddings as views
  /// of the file, on a device all as copies. Throws StartupError(ExitCode::model).
  Transformer(const TransformerConfig& config, const Weights& weights, const Kernels& kernels);
  ~Transformer();
  Transformer(const Transformer&) = delete;
  Transformer& operator=(const Transformer&) = delete;

  /// On the CPU: the last layer's output, row-major [tokens, hidden]. With the CPU's kernels the
  /// rows of a text are the same to the bit whatever else is packed with it. Any number of threads
  /// may call it. Throws std::exception: libtorch's own kind stops here.
  std::vector<float> forward(const PackedTokens& tokens) const;

  /// On any device: the same as a tensor there, [tokens, hidden], in the type of the residual
  /// stream. Any number of threads may call it. Throws c10::Error.
  at::Tensor states(const Pass& pass) const;

  const TransformerConfig& config() const;
  /// States depend on the texts only by the tensors of a Pass: what a graph needs.
  bool takes_any_lengths() const;

  std::size_t weight_bytes() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ml_worker
