#include "model/modules.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "json/json_file.h"

namespace ml_worker {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxConfigBytes = std::size_t{1} << 20;

/// "Pooling" of `sentence_transformers.models.Pooling` and of its later, longer names.
std::string module_kind(const JsonObject& module) {
  const std::string type = module.text("type");
  if (!type.starts_with("sentence_transformers.")) {
    module.fail("module type '" + type + "' is not supported");
  }
  return type.substr(type.rfind('.') + 1);
}

/// A folder below the model directory, "" for itself.
fs::path module_path(const JsonObject& module) {
  fs::path path = module.text("path");
  const bool inside = path.is_relative() && std::none_of(path.begin(), path.end(), [](auto& part) {
                        return part == ".." || part == ".";
                      });
  if (!inside) module.fail("path '" + path.string() + "' leads out of the model directory");
  return path;
}

PoolingMode pooling_mode(const JsonObject& config, const std::string& name) {
  const auto mode = parse_pooling_mode(name);
  if (!mode) config.fail("pooling_mode '" + name + "' is not supported");
  return *mode;
}

/// `"pooling_mode": "mean"` or `["mean", "max"]`
std::vector<PoolingMode> named_modes(const JsonObject& config) {
  const auto& value = config.json()["pooling_mode"];
  if (!value.is_array()) return {pooling_mode(config, config.text("pooling_mode"))};
  std::vector<PoolingMode> modes;
  for (const auto& name : value) {
    if (!name.is_string()) config.fail("'pooling_mode': expected names, got " + name.dump());
    modes.push_back(pooling_mode(config, name.get<std::string>()));
  }
  if (modes.empty()) config.fail("'pooling_mode' is empty");
  return modes;
}

/// `"pooling_mode_mean_tokens": true` and its siblings, in sentence-transformers' order.
std::vector<PoolingMode> flagged_modes(const JsonObject& config) {
  static constexpr std::array<std::pair<std::string_view, PoolingMode>, 6> kFlags = {
      {{"pooling_mode_cls_token", PoolingMode::cls},
       {"pooling_mode_max_tokens", PoolingMode::max},
       {"pooling_mode_mean_tokens", PoolingMode::mean},
       {"pooling_mode_mean_sqrt_len_tokens", PoolingMode::mean_sqrt_len},
       {"pooling_mode_weightedmean_tokens", PoolingMode::weighted_mean},
       {"pooling_mode_lasttoken", PoolingMode::last_token}}};
  std::vector<PoolingMode> modes;
  std::size_t active = 0;
  for (const auto& [key, value] : config.json().items()) {
    if (key.starts_with("pooling_mode_") && config.flag(key, false)) ++active;
  }
  for (const auto& [key, mode] : kFlags) {
    if (config.flag(key, false)) modes.push_back(mode);
  }
  if (modes.size() != active) config.fail("a pooling mode is set that is not supported");
  return modes.empty() ? std::vector{PoolingMode::mean} : modes;
}

class ChainReader {
 public:
  explicit ChainReader(const fs::path& directory) : directory_(directory) {}

  ModuleChain read() {
    const JsonObject modules({{"modules", parse()}}, (directory_ / "modules.json").string());
    for (const JsonObject& module : modules.objects("modules")) add(module);
    if (step_ < 2) modules.fail("expected Transformer, Pooling and perhaps Normalize");
    return std::move(chain_);
  }

 private:
  nlohmann::json parse() {
    chain_.files.emplace_back("modules.json");
    const fs::path path = directory_ / "modules.json";
    return parse_json(read_file(path, kMaxConfigBytes), path.string());
  }

  JsonObject read_config(const fs::path& folder) {
    chain_.files.push_back(folder / "config.json");
    return read_json_object(directory_ / folder / "config.json", kMaxConfigBytes);
  }

  void add(const JsonObject& module) {
    const std::string kind = module_kind(module);
    const fs::path path = module_path(module);
    if (kind == "Transformer" && step_ == 0) {
      chain_.transformer = path;
    } else if (kind == "Pooling" && step_ == 1) {
      add_pooling(read_config(path));
    } else if (kind == "Normalize" && step_ == 2) {
      add_normalize(path);
    } else {
      module.fail("module '" + module.text("type") + "' is not supported at this place");
    }
    ++step_;
  }

  void add_pooling(const JsonObject& config) {
    chain_.pooling = config.has("pooling_mode") ? named_modes(config) : flagged_modes(config);
    const std::string size =
        config.has("embedding_dimension") ? "embedding_dimension" : "word_embedding_dimension";
    chain_.pooled_size = config.integer(size, 1, 1 << 20, 0);
  }

  void add_normalize(const fs::path& path) {
    chain_.normalizes = true;
    // The hub's shape has no configuration for it, and often not even the folder.
    if (!fs::exists(directory_ / path / "config.json")) return;
    const JsonObject config = read_config(path);
    for (const char* key : {"module_input_name", "module_output_name"}) {
      const std::string name = config.text(key, "sentence_embedding");
      if (name != "sentence_embedding")
        config.fail(std::string(key) + " '" + name + "' is not supported");
    }
  }

  const fs::path& directory_;
  ModuleChain chain_;
  int step_ = 0;
};

}  // namespace

ModuleChain read_modules(const fs::path& directory) {
  if (fs::exists(directory / "modules.json")) return ChainReader(directory).read();
  ModuleChain chain;
  chain.pooling = {PoolingMode::mean};
  return chain;
}

}  // namespace ml_worker
