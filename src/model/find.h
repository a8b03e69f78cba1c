// How a model directory and its name belong together.
#pragma once

#include <filesystem>
#include <string>

namespace ml_worker {

/// The name of the model in `directory`: that of the folder, or what the hub's cache calls it
/// (`models--ORG--NAME/snapshots/REV`; ORG left out for sentence-transformers).
std::string model_name_of(const std::filesystem::path& directory);

}  // namespace ml_worker
