#include <algorithm>
#include <array>
#include <memory>
#include <stdexcept>
#include <utility>

#include "json/json_file.h"
#include "ml_worker/startup_error.h"
#include "ml_worker/tokenizer.h"
#include "tokenizer/bert_pre_tokenizer.h"
#include "tokenizer/pipeline.h"
#include "tokenizer/roberta.h"
#include "tokenizer/text_normalizers.h"
#include "tokenizer/tokenizer_config.h"
#include "tokenizer/tokenizer_json.h"
#include "tokenizer/unicode.h"
#include "tokenizer/vocabulary.h"
#include "tokenizer/wordpiece.h"

namespace ml_worker {
namespace {

namespace fs = std::filesystem;

/// The class that `transformers` takes where tokenizer_config.json names none, or "".
std::string class_by_model(const fs::path& directory) {
  static constexpr std::array<std::pair<const char*, const char*>, 5> kClasses = {
      {{"bert", "BertTokenizer"},
       {"distilbert", "BertTokenizer"},
       {"mpnet", "MPNetTokenizer"},
       {"roberta", "RobertaTokenizer"},
       {"xlm-roberta", "XLMRobertaTokenizer"}}};
  const fs::path path = directory / "config.json";
  if (!fs::exists(path)) return "";
  const JsonObject model = read_json_object(path, kMaxTokenizerBytes);
  const std::string type = model.text("model_type", "");
  for (const auto& [known, name] : kClasses) {
    if (type == known) return model.text("tokenizer_class", name);
  }
  return model.text("tokenizer_class", "");
}

/// tokenizer_config.json, with `tokenizer_class` filled in.
JsonObject read_config(const fs::path& directory) {
  const fs::path path = directory / "tokenizer_config.json";
  nlohmann::json config = nlohmann::json::object();
  if (fs::exists(path)) config = read_json_object(path, kMaxTokenizerBytes).json();
  if (!config.contains("tokenizer_class") || config["tokenizer_class"].is_null()) {
    const std::string name = class_by_model(directory);
    if (!name.empty()) config["tokenizer_class"] = name;
  }
  return {std::move(config), path.string()};
}

/// BertTokenizer has token types whatever tokenizer.json says.
void apply_bert_class(const JsonObject& config, PipelineParts& parts) {
  const auto& [before, after] = parts.sequence_template;
  parts.normalizer = bert_normalizer_of(config);
  if (before.size() == 1 && after.size() == 1) parts.pair_template = bert_pair(before[0], after[0]);
}

PipelineParts from_tokenizer_json(const fs::path& path, const JsonObject& config) {
  const JsonObject tokenizer = read_json_object(path, kMaxTokenizerBytes);
  PipelineParts parts = parts_of_tokenizer_json(tokenizer);
  if (is_bert_class(config)) apply_bert_class(config, parts);
  if (is_mpnet_class(config)) apply_mpnet_class(config, parts);
  if (is_roberta_class(config)) apply_roberta_class(config, parts);
  if (is_xlm_roberta_class(config)) apply_xlm_roberta_class(config, tokenizer, parts);
  return parts;
}

std::int32_t required_id(const SubwordModel& model, const std::string& token,
                         const fs::path& path) {
  const std::int32_t id = model.id_of(unicode::decode(token));
  if (id < 0) throw StartupError(ExitCode::model, path.string() + ": no token " + token);
  return id;
}

/// BERT's special tokens, as far as the vocabulary has them.
std::vector<AddedToken> special_tokens(const SubwordModel& model, const JsonObject& config) {
  static constexpr std::array<std::pair<const char*, const char*>, 5> kNames = {
      {{"pad_token", "[PAD]"},
       {"unk_token", "[UNK]"},
       {"cls_token", "[CLS]"},
       {"sep_token", "[SEP]"},
       {"mask_token", "[MASK]"}}};
  std::vector<AddedToken> tokens;
  for (const auto& [key, fallback] : kNames) {
    AddedToken token;
    token.content = unicode::decode(special_token(config, key, fallback));
    token.id = model.id_of(token.content);
    if (token.id >= 0) tokens.push_back(std::move(token));
  }
  return tokens;
}

std::unique_ptr<SubwordModel> read_wordpiece(const fs::path& path, const JsonObject& config) {
  WordPieceOptions options;
  options.unknown_token = unicode::decode(special_token(config, "unk_token", "[UNK]"));
  try {
    return std::make_unique<WordPiece>(parse_vocabulary_lines(read_file(path, kMaxTokenizerBytes)),
                                       std::move(options));
  } catch (const std::invalid_argument& error) {
    throw StartupError(ExitCode::model, path.string() + ": " + error.what());
  }
}

PipelineParts from_vocabulary(const fs::path& path, const JsonObject& config) {
  PipelineParts parts;
  parts.model = read_wordpiece(path, config);
  parts.normalizer = bert_normalizer_of(config);
  parts.pre_tokenizer = std::make_unique<BertPreTokenizer>();
  parts.added_tokens = special_tokens(*parts.model, config);
  const auto id = [&](const char* key, const char* fallback) {
    return required_id(*parts.model, special_token(config, key, fallback), path);
  };
  const std::int32_t cls = id("cls_token", "[CLS]");
  const std::int32_t sep = id("sep_token", "[SEP]");
  parts.sequence_template = {{cls}, {sep}};
  parts.pair_template = bert_pair(cls, sep);
  return parts;
}

/// Other classes read the same files in other ways.
void expect_class(const JsonObject& config, bool (*is_class)(const JsonObject&)) {
  if (!config.has("tokenizer_class") || is_class(config)) return;
  config.fail("tokenizer_class '" + config.text("tokenizer_class") +
              "' is not supported without tokenizer.json");
}

PipelineParts from_vocabulary_text(const fs::path& directory, const JsonObject& config) {
  if (is_mpnet_class(config)) return mpnet_parts(directory, config);
  expect_class(config, is_bert_class);
  return from_vocabulary(directory / "vocab.txt", config);
}

PipelineParts read_parts(const fs::path& directory, const JsonObject& config) {
  const auto has = [&](const char* name) { return fs::exists(directory / name); };
  if (has("tokenizer.json")) return from_tokenizer_json(directory / "tokenizer.json", config);
  if (has("sentencepiece.bpe.model")) {
    expect_class(config, is_xlm_roberta_class);
    return xlm_roberta_parts(directory, config);
  }
  if (has("vocab.json")) {
    expect_class(config, is_roberta_class);
    return roberta_parts(directory, config);
  }
  if (has("vocab.txt")) return from_vocabulary_text(directory, config);
  throw StartupError(ExitCode::model, directory.string() +
                                          ": neither tokenizer.json nor vocab.txt, vocab.json or "
                                          "sentencepiece.bpe.model is there");
}

/// As sentence-transformers does it, also where another stage lower-cases later.
void lower_case_first(PipelineParts& parts) {
  std::vector<std::unique_ptr<Normalizer>> stages;
  stages.push_back(std::make_unique<LowercaseNormalizer>());
  stages.push_back(std::move(parts.normalizer));
  parts.normalizer = std::make_unique<NormalizerSequence>(std::move(stages));
}

/// False if `transformers` gives the model no token types, so that all are 0.
bool gives_token_types(const JsonObject& config) {
  if (config.has("model_input_names")) {
    const auto& names = config.json()["model_input_names"];
    return std::find(names.begin(), names.end(), "token_type_ids") != names.end();
  }
  const std::string name = config.text("tokenizer_class", "");
  return !(is_roberta_class(config) || is_xlm_roberta_class(config) || is_mpnet_class(config) ||
           name == "DistilBertTokenizer" || name == "DistilBertTokenizerFast");
}

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer(const fs::path& model_directory,
                                          const TokenizerOptions& options) {
  const JsonObject config = read_config(model_directory);
  PipelineParts parts = read_parts(model_directory, config);
  add_configured_tokens(config, parts);
  if (options.lower_case && !parts.normalizer->has_lowercase()) lower_case_first(parts);
  if (parts.pair_template && !gives_token_types(config)) parts.pair_template->first_types.reset();
  return std::make_unique<PipelineTokenizer>(std::move(parts));
}

}  // namespace ml_worker
