// What a sentence-transformers model directory says about its model, in either of the shapes that
// are about (docs/MODELS.md): the one on the hub, and the one that sentence-transformers 6 saves.
//
// Whatever is not understood is refused by name: a model is never run other than it was meant.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <vector>

#include "ml_worker/tokenizer.h"
#include "model/pooling.h"

namespace ml_worker {

/// config.json of a BERT model.
struct BertConfig {
  std::int64_t vocabulary = 0;
  std::int64_t hidden = 0;
  std::int64_t layers = 0;
  std::int64_t heads = 0;
  std::int64_t intermediate = 0;
  std::int64_t positions = 0;
  std::int64_t token_types = 0;
  double layer_norm_epsilon = 1e-12;
};

struct ModelDirectory {
  std::filesystem::path transformer;  ///< folder of weights, config.json and tokenizer
  BertConfig config;
  std::size_t max_tokens = 0;  ///< special tokens counted
  TruncationSide truncation_side = TruncationSide::right;
  std::vector<PoolingMode> pooling;  ///< results are put one after another; at least one
  bool normalizes = false;           ///< the last module is Normalize
  /// Every file that decides a vector, weights too; relative to the directory.
  std::vector<std::filesystem::path> files;
};

/// Throws StartupError(ExitCode::model) that names the file and what is wrong or not supported.
ModelDirectory read_model_directory(const std::filesystem::path& directory);

}  // namespace ml_worker
