// Loading sentence-transformers model directories. Implemented on libtorch, which stays behind
// this header.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ml_worker/encoder.h"

namespace ml_worker {

/// Memory-maps the weights and builds the encoder. Throws StartupError(ExitCode::model) that names
/// the file and what is wrong with it or not supported.
std::unique_ptr<Encoder> load_model(const std::filesystem::path& directory,
                                    const ModelOptions& options);

/// A model name is `[ORG/]NAME`, each part `[A-Za-z0-9][A-Za-z0-9._-]{0,95}`.
bool is_model_name(std::string_view name);

/// The directory of `name` under the first root that has it: `ROOT/NAME/`, or the hub cache
/// `models--ORG--NAME/snapshots/REV/` (REV by `refs/main`, ORG by default sentence-transformers).
/// Names are matched against a listing, never joined to a path; symlinks stay inside the root.
/// Empty when there is none.
std::filesystem::path find_model(const std::vector<std::filesystem::path>& roots,
                                 std::string_view name);

/// All model names under the roots, sorted.
std::vector<std::string> list_models(const std::vector<std::filesystem::path>& roots);

}  // namespace ml_worker
