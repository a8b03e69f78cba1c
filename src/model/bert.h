// The BERT encoder (Devlin et al. 2018, as transformers' BertModel computes it) on libtorch, CPU
// and float32. Texts lie side by side, without padding: see packing.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "model/directory.h"
#include "model/packing.h"
#include "model/safetensors.h"

namespace ml_worker {

class Bert {
 public:
  /// Takes the weights over: linear layers as reordered copies, embeddings as views of the file.
  /// `threads`: of one forward pass, 0 for all cores; the setting is the process's.
  /// Throws StartupError(ExitCode::model).
  Bert(const BertConfig& config, const Safetensors& weights, int threads);
  ~Bert();
  Bert(const Bert&) = delete;
  Bert& operator=(const Bert&) = delete;

  /// The last layer's output, row-major [packing.tokens, hidden], valid until the next call.
  /// `ids`: [packing.tokens], as packed. The rows of a text are the same to the bit whatever else
  /// is packed with it. Throws std::exception: libtorch's own kind stops here.
  std::span<const float> forward(std::span<const std::int32_t> ids, const Packing& packing);

  std::size_t weight_bytes() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ml_worker
