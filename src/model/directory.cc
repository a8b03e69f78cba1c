#include "model/directory.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "json/json_file.h"
#include "ml_worker/startup_error.h"
#include "model/modules.h"

namespace ml_worker {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxConfigBytes = std::size_t{1} << 20;
constexpr std::int64_t kMaxSize = std::int64_t{1} << 24;

JsonObject read_optional(const fs::path& path) {
  if (!fs::exists(path)) return {nlohmann::json::object(), path.string()};
  return read_json_object(path, kMaxConfigBytes);
}

void require_text(const JsonObject& config, const std::string& key, const std::string& wanted) {
  const std::string value = config.text(key, wanted);
  if (value != wanted) config.fail(fmt::format("{} '{}' is not supported", key, value));
}

void refuse_flag(const JsonObject& config, const std::string& key) {
  if (config.flag(key, false)) config.fail(key + " is not supported");
}

BertConfig read_bert_config(const JsonObject& json) {
  if (!json.has("model_type")) json.fail("'model_type' is missing");
  require_text(json, "model_type", "bert");
  require_text(json, "hidden_act", "gelu");
  require_text(json, "position_embedding_type", "absolute");
  refuse_flag(json, "is_decoder");
  refuse_flag(json, "add_cross_attention");
  BertConfig config;
  config.vocabulary = json.integer("vocab_size", 1, kMaxSize);
  config.hidden = json.integer("hidden_size", 1, 1 << 16);
  config.layers = json.integer("num_hidden_layers", 1, 1024);
  config.heads = json.integer("num_attention_heads", 1, 1024);
  config.intermediate = json.integer("intermediate_size", 1, 1 << 20);
  config.positions = json.integer("max_position_embeddings", 2, kMaxSize);
  config.token_types = json.integer("type_vocab_size", 1, kMaxSize, 2);
  config.layer_norm_epsilon = json.number("layer_norm_eps", 1e-12);
  if (config.hidden % config.heads != 0) {
    json.fail("num_attention_heads does not divide hidden_size");
  }
  return config;
}

bool is_nothing(const nlohmann::json& value) {
  return value.is_null() || value == false || value.empty();
}

/// sentence_bert_config.json: fields that would change a vector and are not known are refused.
void check_transformer_options(const JsonObject& options) {
  static constexpr std::array<std::string_view, 5> kKnown = {"max_seq_length", "transformer_task",
                                                             "modality_config",
                                                             "module_output_name", "unpad_inputs"};
  require_text(options, "transformer_task", "feature-extraction");
  require_text(options, "module_output_name", "token_embeddings");
  for (const auto& [key, value] : options.json().items()) {
    if (std::find(kKnown.begin(), kKnown.end(), key) != kKnown.end() || is_nothing(value)) continue;
    options.fail(fmt::format("'{}': {} is not supported", key, value.dump()));
  }
}

/// A prompt that is put before every text unasked.
void check_default_prompt(const JsonObject& config) {
  const std::string name = config.text("default_prompt_name", "");
  if (!name.empty()) config.fail("default_prompt_name '" + name + "' is not supported");
  require_text(config, "model_type", "SentenceTransformer");
}

/// As sentence-transformers 6.2 has it (base/modules/transformer.py): max_seq_length if it is
/// there, else the tokenizer's model_max_length; never more than there are positions.
std::size_t max_tokens_of(const JsonObject& options, const JsonObject& tokenizer,
                          const BertConfig& config) {
  const auto positions = config.positions;
  const auto configured = options.integer("max_seq_length", 2, INT64_MAX, 0);
  if (configured != 0) return static_cast<std::size_t>(std::min(configured, positions));
  // Written as 1e30 where there is no limit.
  const double limit = tokenizer.number("model_max_length", 1e30);
  if (!(limit >= 2)) tokenizer.fail("'model_max_length': expected at least 2");
  if (limit >= static_cast<double>(positions)) return static_cast<std::size_t>(positions);
  return static_cast<std::size_t>(limit);
}

TruncationSide truncation_side_of(const JsonObject& tokenizer) {
  const std::string side = tokenizer.text("truncation_side", "right");
  if (side == "right") return TruncationSide::right;
  if (side == "left") return TruncationSide::left;
  tokenizer.fail("truncation_side '" + side + "' is not supported");
}

void check_weights(const fs::path& folder) {
  if (fs::exists(folder / "model.safetensors")) return;
  std::string hint;
  if (fs::exists(folder / "model.safetensors.index.json")) {
    hint = "; weights in several files are not supported";
  } else if (fs::exists(folder / "pytorch_model.bin")) {
    hint = "; pytorch_model.bin is never read, it may hold code";
  }
  throw StartupError(ExitCode::model,
                     (folder / "model.safetensors").string() + ": no such file" + hint);
}

/// Files of the folder that decide a vector.
void add_transformer_files(const fs::path& directory, const fs::path& folder,
                           std::vector<fs::path>& files) {
  const bool has_json = fs::exists(directory / folder / "tokenizer.json");
  for (const char* name : {"config.json", "model.safetensors", "sentence_bert_config.json",
                           "tokenizer_config.json", has_json ? "tokenizer.json" : "vocab.txt"}) {
    if (fs::exists(directory / folder / name)) files.push_back(folder / name);
  }
  if (fs::exists(directory / "config_sentence_transformers.json")) {
    files.emplace_back("config_sentence_transformers.json");
  }
}

void check_pooled_size(const fs::path& directory, const ModuleChain& chain,
                       const BertConfig& config) {
  if (chain.pooled_size == 0 || chain.pooled_size == config.hidden) return;
  throw StartupError(ExitCode::model,
                     fmt::format("{}: pooling expects vectors of {}, the transformer gives {}",
                                 directory.string(), chain.pooled_size, config.hidden));
}

}  // namespace

ModelDirectory read_model_directory(const fs::path& directory) {
  if (!fs::is_directory(directory)) {
    throw StartupError(ExitCode::model, directory.string() + ": no such model directory");
  }
  ModuleChain chain = read_modules(directory);
  const fs::path folder = chain.transformer.empty() ? directory : directory / chain.transformer;
  const JsonObject options = read_optional(folder / "sentence_bert_config.json");
  const JsonObject tokenizer = read_optional(folder / "tokenizer_config.json");
  check_transformer_options(options);
  check_default_prompt(read_optional(directory / "config_sentence_transformers.json"));
  check_weights(folder);

  ModelDirectory result;
  result.transformer = folder;
  result.config = read_bert_config(read_json_object(folder / "config.json", kMaxConfigBytes));
  check_pooled_size(directory, chain, result.config);
  result.max_tokens = max_tokens_of(options, tokenizer, result.config);
  result.truncation_side = truncation_side_of(tokenizer);
  result.pooling = std::move(chain.pooling);
  result.normalizes = chain.normalizes;
  result.files = std::move(chain.files);
  add_transformer_files(directory, chain.transformer, result.files);
  return result;
}

}  // namespace ml_worker
