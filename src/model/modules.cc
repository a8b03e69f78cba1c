#include "model/modules.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "json/json_file.h"
#include "model/weights.h"

namespace ml_worker {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxConfigBytes = std::size_t{1} << 20;
constexpr std::int64_t kMaxFeatures = 1 << 20;

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

/// A module that works on anything but the text's vector would change what comes out.
void require_names(const JsonObject& config, std::string_view output) {
  const std::string input = config.text("module_input_name", "sentence_embedding");
  if (input != "sentence_embedding") {
    config.fail("module_input_name '" + input + "' is not supported");
  }
  const std::string name = config.text("module_output_name", input);
  if (name != input && name != output) {
    config.fail("module_output_name '" + name + "' is not supported");
  }
}

/// A class that is not PyTorch's becomes Tanh in sentence-transformers, with a warning; here it is
/// refused.
Activation read_dense_activation(const JsonObject& config) {
  const std::string name = config.text("activation_function", "torch.nn.modules.activation.Tanh");
  const auto activation = activation_of_torch(name);
  if (!activation) config.fail("activation_function '" + name + "' is not supported");
  return *activation;
}

VectorModule read_dense(const JsonObject& config, const fs::path& folder) {
  require_names(config, "scores");
  VectorModule module{.kind = VectorModule::Kind::dense, .folder = folder};
  module.in = config.integer("in_features", 1, kMaxFeatures);
  module.out = config.integer("out_features", 1, kMaxFeatures);
  module.bias = config.flag("bias", true);
  module.residual = config.flag("use_residual", false);
  module.activation = read_dense_activation(config);
  return module;
}

VectorModule read_layer_norm(const JsonObject& config, const fs::path& folder) {
  const auto size = config.integer("dimension", 1, kMaxFeatures);
  return {.kind = VectorModule::Kind::layer_norm, .folder = folder, .in = size, .out = size};
}

class ChainReader {
 public:
  explicit ChainReader(const fs::path& directory) : directory_(directory) {}

  ModuleChain read() {
    const JsonObject modules({{"modules", parse()}}, (directory_ / "modules.json").string());
    for (const JsonObject& module : modules.objects("modules")) add(module);
    if (!has_transformer_) modules.fail("expected a Transformer, got none");
    chain_.classifies = chain_.pooling.empty();
    if (!chain_.after.empty() && chain_.after.back().kind == VectorModule::Kind::normalize) {
      chain_.after.pop_back();
      chain_.normalizes = true;
    }
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
    const bool pooled = !chain_.pooling.empty();
    if (kind == "Transformer" && !has_transformer_) {
      chain_.transformer = path;
      has_transformer_ = true;
    } else if (kind == "Pooling" && has_transformer_ && !pooled) {
      add_pooling(read_config(path));
    } else if (kind == "Dense" && pooled) {
      add_with_weights(read_dense(read_config(path), path));
    } else if (kind == "LayerNorm" && pooled) {
      add_with_weights(read_layer_norm(read_config(path), path));
    } else if (kind == "Normalize" && pooled) {
      add_normalize(path);
    } else if (kind != "Dropout" || !pooled) {  // which does nothing but in training
      module.fail("module '" + module.text("type") + "' is not supported at this place");
    }
  }

  void add_with_weights(VectorModule module) {
    for (const auto& name : weight_files(directory_ / module.folder)) {
      chain_.files.push_back(module.folder / name);
    }
    chain_.after.push_back(std::move(module));
  }

  void add_pooling(const JsonObject& config) {
    chain_.pooling = config.has("pooling_mode") ? named_modes(config) : flagged_modes(config);
    chain_.pools_prompt = config.flag("include_prompt", true);
    const std::string size =
        config.has("embedding_dimension") ? "embedding_dimension" : "word_embedding_dimension";
    chain_.pooled_size = config.integer(size, 1, kMaxFeatures, 0);
  }

  void add_normalize(const fs::path& path) {
    chain_.after.push_back({.kind = VectorModule::Kind::normalize, .folder = path});
    // The hub's shape has no configuration for it, and often not even the folder.
    if (fs::exists(directory_ / path / "config.json")) {
      require_names(read_config(path), "sentence_embedding");
    }
  }

  const fs::path& directory_;
  ModuleChain chain_;
  bool has_transformer_ = false;
};

}  // namespace

ModuleChain read_modules(const fs::path& directory) {
  if (fs::exists(directory / "modules.json")) return ChainReader(directory).read();
  ModuleChain chain;
  chain.pooling = {PoolingMode::mean};
  return chain;
}

}  // namespace ml_worker
