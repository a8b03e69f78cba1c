// What stands behind the pooling: Dense, LayerNorm and Normalize of sentence-transformers, or the
// head of a classification model. Vectors in, vectors out, in float32 whatever the transformer's
// precision; a row's result does not depend on the other rows.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "model/architecture.h"
#include "model/modules.h"
#include "model/weights.h"

namespace ml_worker {

class VectorLayers {
 public:
  /// `modules`: in folders of `directory`. Throws StartupError(ExitCode::model).
  static std::unique_ptr<VectorLayers> load(const std::filesystem::path& directory,
                                            std::span<const VectorModule> modules);
  /// `weights`: the transformer's; `activation`: of the scores.
  static std::unique_ptr<VectorLayers> load_head(const TransformerConfig& config,
                                                 const Weights& weights, Activation activation);
  ~VectorLayers();
  VectorLayers(const VectorLayers&) = delete;
  VectorLayers& operator=(const VectorLayers&) = delete;

  /// `rows`: row-major [texts, in]; result: [texts, out]. Any number of threads may call it.
  std::vector<float> apply(std::vector<float> rows, std::size_t texts) const;

  std::size_t weight_bytes() const;

 private:
  class Impl;
  explicit VectorLayers(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ml_worker
