#include "model/weights.h"

#include <algorithm>

#include "json/json_file.h"
#include "ml_worker/startup_error.h"

namespace ml_worker {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";
constexpr std::size_t kMaxIndexBytes = std::size_t{64} << 20;
constexpr std::size_t kMaxFiles = 1024;

/// A name inside the folder: the index is data from outside.
bool is_plain_name(const std::string& name) {
  return name.ends_with(".safetensors") && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

/// Tensor name → file name.
std::map<std::string, std::string> read_weight_map(const fs::path& folder) {
  const JsonObject index = read_json_object(folder / kIndex, kMaxIndexBytes);
  const JsonObject map = index.object("weight_map");
  std::map<std::string, std::string> result;
  for (const auto& [tensor, file] : map.json().items()) {
    const std::string name = map.text(tensor);
    if (!is_plain_name(name)) map.fail("file name '" + name + "' is not supported");
    result.emplace(tensor, name);
  }
  if (result.empty()) map.fail("it names no tensor");
  return result;
}

std::vector<std::string> file_names(const std::map<std::string, std::string>& weight_map,
                                    const std::string& where) {
  std::vector<std::string> names;
  names.reserve(weight_map.size());
  for (const auto& [tensor, file] : weight_map) names.push_back(file);
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  if (names.size() > kMaxFiles) {
    throw StartupError(ExitCode::model, where + ": more than 1024 files of weights");
  }
  return names;
}

[[noreturn]] void refuse_missing(const fs::path& folder) {
  const bool pickled = fs::exists(folder / "pytorch_model.bin") ||
                       fs::exists(folder / "pytorch_model.bin.index.json");
  throw StartupError(ExitCode::model,
                     (folder / kSingle).string() + ": no such file" +
                         (pickled ? "; pytorch_model.bin is never read, it may hold code" : ""));
}

}  // namespace

Weights::Weights(const fs::path& folder) : where_(folder.string()) {
  if (!fs::exists(folder / kSingle)) {
    read_index(folder);
    return;
  }
  files_.emplace_back(kSingle, std::make_shared<Safetensors>(folder / kSingle));
  for (const auto& name : files_.front().second->names()) places_.emplace(name, 0);
}

void Weights::read_index(const fs::path& folder) {
  if (!fs::exists(folder / kIndex)) refuse_missing(folder);
  const auto weight_map = read_weight_map(folder);
  for (const auto& name : file_names(weight_map, where_)) {
    files_.emplace_back(name, std::make_shared<Safetensors>(folder / name));
  }
  for (const auto& [tensor, file] : weight_map) {
    // The name again: C++20 lets lambdas capture structured bindings, clang 14 does not yet.
    const std::string& name = file;
    const auto found = std::find_if(files_.begin(), files_.end(),
                                    [&name](const auto& entry) { return entry.first == name; });
    if (!found->second->has(tensor)) {
      throw StartupError(ExitCode::model, (folder / file).string() + ": tensor '" + tensor +
                                              "' is missing, though the index says it is here");
    }
    places_.emplace(tensor, static_cast<std::size_t>(found - files_.begin()));
  }
}

std::shared_ptr<const float> Weights::floats(const std::string& name,
                                             std::span<const std::int64_t> shape) const {
  const auto place = places_.find(name);
  if (place == places_.end()) {
    throw StartupError(ExitCode::model, where_ + ": tensor '" + name + "' is missing");
  }
  return files_[place->second].second->floats(name, shape);
}

std::vector<std::string> weight_files(const fs::path& folder) {
  if (fs::exists(folder / kSingle)) return {kSingle};
  if (!fs::exists(folder / kIndex)) refuse_missing(folder);
  std::vector<std::string> names = file_names(read_weight_map(folder), folder.string());
  names.emplace_back(kIndex);
  return names;
}

}  // namespace ml_worker
