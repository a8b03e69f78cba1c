// The models named at start, found under the model roots and loaded.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ml_worker/config.h"
#include "ml_worker/encoder.h"

namespace ml_worker {

/// The aliases that always stand, with those of `config` over them.
std::map<std::string, std::string> model_aliases(const Config& config);

/// Loads `config.models` in their order, each once, with log lines of progress.
/// Throws StartupError(model).
std::vector<std::shared_ptr<Encoder>> load_models(const Config& config);

}  // namespace ml_worker
