#include "model/directory.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "ml_worker/startup_error.h"
#include "model/weights.h"

namespace ml_worker {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxConfigBytes = std::size_t{1} << 20;

JsonObject read_optional(const fs::path& path) {
  if (!fs::exists(path)) return {nlohmann::json::object(), path.string()};
  return read_json_object(path, kMaxConfigBytes);
}

void require_text(const JsonObject& config, const std::string& key, const std::string& wanted) {
  const std::string value = config.text(key, wanted);
  if (value != wanted) config.fail(fmt::format("{} '{}' is not supported", key, value));
}

bool is_nothing(const nlohmann::json& value) {
  return value.is_null() || value == false || value.empty();
}

/// sentence_bert_config.json, or one of its older names; an empty one does not count.
fs::path options_file(const fs::path& folder) {
  static constexpr std::array<const char*, 7> kNames = {
      "sentence_bert_config.json",       "sentence_roberta_config.json",
      "sentence_distilbert_config.json", "sentence_camembert_config.json",
      "sentence_albert_config.json",     "sentence_xlm-roberta_config.json",
      "sentence_xlnet_config.json"};
  for (const char* name : kNames) {
    if (fs::exists(folder / name) && !read_optional(folder / name).json().empty()) return name;
  }
  return kNames.front();
}

/// Fields that would change a vector and are not known are refused.
void check_transformer_options(const JsonObject& options, bool classifies) {
  static constexpr std::array<std::string_view, 6> kKnown = {
      "max_seq_length",     "transformer_task", "modality_config",
      "module_output_name", "unpad_inputs",     "do_lower_case"};
  require_text(options, "transformer_task",
               classifies ? "sequence-classification" : "feature-extraction");
  require_text(options, "module_output_name", classifies ? "scores" : "token_embeddings");
  for (const auto& [key, value] : options.json().items()) {
    if (std::find(kKnown.begin(), kKnown.end(), key) != kKnown.end() || is_nothing(value)) continue;
    options.fail(fmt::format("'{}': {} is not supported", key, value.dump()));
  }
}

/// As sentence-transformers 6.2 has it (base/modules/transformer.py): max_seq_length if it is
/// there, else the tokenizer's model_max_length; never more than there are positions.
std::size_t max_tokens_of(const JsonObject& options, const JsonObject& tokenizer,
                          std::size_t positions) {
  const auto configured = options.integer("max_seq_length", 2, INT64_MAX, 0);
  if (configured != 0) return std::min(static_cast<std::size_t>(configured), positions);
  // Written as 1e30 where there is no limit.
  const double limit = tokenizer.number("model_max_length", 1e30);
  if (!(limit >= 2)) tokenizer.fail("'model_max_length': expected at least 2");
  if (limit >= static_cast<double>(positions)) return positions;
  return static_cast<std::size_t>(limit);
}

TruncationSide truncation_side_of(const JsonObject& tokenizer) {
  const std::string side = tokenizer.text("truncation_side", "right");
  if (side == "right") return TruncationSide::right;
  if (side == "left") return TruncationSide::left;
  tokenizer.fail("truncation_side '" + side + "' is not supported");
}

/// Without modules.json: a checkpoint that transformers saved of …ForSequenceClassification.
bool is_classifier(const JsonObject& config) {
  if (!config.has("architectures")) return false;
  const auto& names = config.json()["architectures"];
  if (!names.is_array()) config.fail("'architectures': expected an array of names");
  return std::any_of(names.begin(), names.end(), [](const auto& name) {
    return name.is_string() &&
           name.template get<std::string>().ends_with("ForSequenceClassification");
  });
}

/// Where a model may name the activation of its scores; a class that is not PyTorch's does not
/// count in sentence-transformers.
std::string score_activation_name(const JsonObject& config, const JsonObject& sentence) {
  std::vector<std::string> names = {sentence.text("activation_fn", "")};
  if (config.has("sentence_transformers")) {
    names.push_back(config.object("sentence_transformers").text("activation_fn", ""));
  }
  names.push_back(config.text("sbert_ce_default_activation_function", ""));
  const auto found = std::find_if(names.begin(), names.end(),
                                  [](const auto& name) { return name.starts_with("torch."); });
  return found == names.end() ? "" : *found;
}

Activation read_score_activation(const JsonObject& config, const JsonObject& sentence,
                                 std::size_t labels) {
  const std::string name = score_activation_name(config, sentence);
  if (name.empty()) return labels == 1 ? Activation::sigmoid : Activation::identity;
  const auto activation = activation_of_torch(name);
  if (!activation) config.fail("activation_fn '" + name + "' is not supported");
  return *activation;
}

/// Files of the folder that decide a vector.
void add_transformer_files(const fs::path& directory, const fs::path& folder,
                           std::vector<fs::path>& files) {
  const auto add = [&](const std::string& name) {
    if (fs::exists(directory / folder / name)) files.push_back(folder / name);
  };
  for (const auto& name : weight_files(directory / folder)) add(name);
  add("config.json");
  add("tokenizer_config.json");
  if (fs::exists(directory / folder / "tokenizer.json")) return add("tokenizer.json");
  for (const char* name : {"sentencepiece.bpe.model", "vocab.json", "merges.txt", "vocab.txt"}) {
    add(name);
  }
}

void check_sizes(const fs::path& directory, const ModuleChain& chain,
                 const TransformerConfig& config) {
  const auto refuse = [&](const std::string& what, std::int64_t expected, std::int64_t got) {
    throw StartupError(ExitCode::model, fmt::format("{}: {} expects vectors of {}, gets {}",
                                                    directory.string(), what, expected, got));
  };
  if (chain.pooled_size != 0 && chain.pooled_size != config.hidden) {
    refuse("pooling", chain.pooled_size, config.hidden);
  }
  std::int64_t size = config.hidden * static_cast<std::int64_t>(chain.pooling.size());
  for (const VectorModule& module : chain.after) {
    if (module.kind == VectorModule::Kind::normalize) continue;
    if (module.in != size) refuse("module '" + module.folder.string() + "'", module.in, size);
    size = module.out;
  }
}

/// What stands beside modules.json; without it sentence-transformers reads none of this.
struct SentenceFiles {
  JsonObject options;   ///< sentence_bert_config.json
  JsonObject sentence;  ///< config_sentence_transformers.json
};

SentenceFiles read_sentence_files(const fs::path& directory, ModuleChain& chain) {
  const fs::path sentence = "config_sentence_transformers.json";
  if (!fs::exists(directory / "modules.json")) {
    return {{nlohmann::json::object(), directory.string()},
            {nlohmann::json::object(), directory.string()}};
  }
  const fs::path options = chain.transformer / options_file(directory / chain.transformer);
  for (const fs::path& file : {options, sentence}) {
    if (fs::exists(directory / file)) chain.files.push_back(file);
  }
  return {read_optional(directory / options), read_optional(directory / sentence)};
}

}  // namespace

std::size_t ModelDirectory::dimensions() const {
  if (modules.classifies) return config.labels.size();
  for (auto module = modules.after.rbegin(); module != modules.after.rend(); ++module) {
    if (module->out != 0) return static_cast<std::size_t>(module->out);
  }
  return static_cast<std::size_t>(config.hidden) * modules.pooling.size();
}

namespace {

/// Which kind of model it is, and that its files agree on it.
void settle_task(const fs::path& directory, const JsonObject& config, const SentenceFiles& files,
                 ModuleChain& chain) {
  if (!fs::exists(directory / "modules.json")) {
    chain.classifies = is_classifier(config);
    return;
  }
  const std::string kind = files.sentence.text("model_type", "SentenceTransformer");
  if (kind != (chain.classifies ? "CrossEncoder" : "SentenceTransformer")) {
    files.sentence.fail(
        fmt::format("model_type '{}' is not supported with these modules.json", kind));
  }
  check_transformer_options(files.options, chain.classifies);
}

}  // namespace

ModelDirectory read_model_directory(const fs::path& directory) {
  if (!fs::is_directory(directory)) {
    throw StartupError(ExitCode::model, directory.string() + ": no such model directory");
  }
  ModelDirectory result;
  ModuleChain& chain = result.modules;
  chain = read_modules(directory);
  result.transformer = chain.transformer.empty() ? directory : directory / chain.transformer;
  const JsonObject config = read_json_object(result.transformer / "config.json", kMaxConfigBytes);
  const JsonObject tokenizer = read_optional(result.transformer / "tokenizer_config.json");
  const SentenceFiles files = read_sentence_files(directory, chain);
  settle_task(directory, config, files, chain);

  result.config = read_transformer_config(config);
  result.max_tokens = max_tokens_of(files.options, tokenizer, result.config.max_tokens());
  result.truncation_side = truncation_side_of(tokenizer);
  result.lower_case = files.options.flag("do_lower_case", false);
  result.prompts = read_prompts(files.sentence);
  if (chain.classifies) {
    result.score_activation =
        read_score_activation(config, files.sentence, result.config.labels.size());
    chain.pooling = {result.config.head_pooling};
  }
  check_sizes(directory, chain, result.config);
  result.files = chain.files;
  add_transformer_files(directory, chain.transformer, result.files);
  return result;
}

}  // namespace ml_worker
