// modules.json: the chain of modules that make a sentence-transformers model.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "model/pooling.h"

namespace ml_worker {

struct ModuleChain {
  std::filesystem::path transformer;  ///< relative to the model directory; "" for itself
  std::vector<PoolingMode> pooling;   ///< at least one
  std::int64_t pooled_size = 0;       ///< token vector the pooling was made for; 0 if it says none
  bool normalizes = false;
  std::vector<std::filesystem::path> files;  ///< what was read, relative to the model directory
};

/// Without modules.json: the directory itself and mean pooling, as sentence-transformers has it.
/// Throws StartupError(ExitCode::model) that names what is broken or not supported.
ModuleChain read_modules(const std::filesystem::path& directory);

}  // namespace ml_worker
