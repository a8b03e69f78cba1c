// What a sentence-transformers model directory says about its model, in either of the shapes that
// are about (docs/MODELS.md): the one on the hub, and the one that sentence-transformers 6 saves.
//
// Whatever is not understood is refused by name: a model is never run other than it was meant.
#pragma once

#include <cstddef>
#include <filesystem>
#include <vector>

#include "ml_worker/tokenizer.h"
#include "model/activation.h"
#include "model/architecture.h"
#include "model/modules.h"
#include "model/prompts.h"

namespace ml_worker {

struct ModelDirectory {
  std::filesystem::path transformer;  ///< folder of weights, config.json and tokenizer
  TransformerConfig config;
  ModuleChain modules;
  std::size_t max_tokens = 0;  ///< special tokens counted
  TruncationSide truncation_side = TruncationSide::right;
  bool lower_case = false;  ///< the text is lower-cased before anything else
  Prompts prompts;
  Activation score_activation = Activation::identity;  ///< of a classification model
  /// Every file that decides a vector, weights too; relative to the directory.
  std::vector<std::filesystem::path> files;

  /// Length of what forward() gives for a text.
  std::size_t dimensions() const;
};

/// Throws StartupError(ExitCode::model) that names the file and what is wrong or not supported.
ModelDirectory read_model_directory(const std::filesystem::path& directory);

}  // namespace ml_worker
