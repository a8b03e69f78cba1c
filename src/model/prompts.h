// config_sentence_transformers.json: what the model is for, and what is put before its texts.
#pragma once

#include <map>
#include <string>

#include "json/json_file.h"

namespace ml_worker {

struct Prompts {
  std::map<std::string, std::string> by_name;
  std::string standard;  ///< of a text that asks for none; the text itself, not its name
};

/// Throws StartupError(ExitCode::model).
Prompts read_prompts(const JsonObject& config);

}  // namespace ml_worker
