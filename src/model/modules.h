// modules.json: the chain of modules that make a sentence-transformers model.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "model/activation.h"
#include "model/pooling.h"

namespace ml_worker {

/// What is done to a text's vector after pooling.
struct VectorModule {
  enum class Kind { dense, layer_norm, normalize };
  Kind kind = Kind::normalize;
  std::filesystem::path folder;  ///< of its weights, relative to the model directory
  std::int64_t in = 0;
  std::int64_t out = 0;
  bool bias = true;
  bool residual = false;  ///< the input is added, through a matrix where sizes differ
  Activation activation = Activation::tanh;
};

struct ModuleChain {
  std::filesystem::path transformer;  ///< relative to the model directory; "" for itself
  std::vector<PoolingMode> pooling;   ///< none if `classifies`
  std::int64_t pooled_size = 0;       ///< token vector the pooling was made for; 0 if it says none
  bool pools_prompt = true;
  std::vector<VectorModule> after;  ///< the last Normalize is not among them
  bool normalizes = false;          ///< Normalize comes last
  bool classifies = false;          ///< the transformer alone: its classification head gives scores
  std::vector<std::filesystem::path> files;  ///< what was read, relative to the model directory
};

/// Without modules.json: the directory itself and mean pooling, as sentence-transformers has it.
/// Throws StartupError(ExitCode::model) that names what is broken or not supported.
ModuleChain read_modules(const std::filesystem::path& directory);

}  // namespace ml_worker
