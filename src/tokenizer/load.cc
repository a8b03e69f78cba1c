#include <array>
#include <memory>
#include <stdexcept>
#include <utility>

#include "base/json_file.h"
#include "ml_worker/startup_error.h"
#include "ml_worker/tokenizer.h"
#include "tokenizer/bert_pre_tokenizer.h"
#include "tokenizer/pipeline.h"
#include "tokenizer/tokenizer_config.h"
#include "tokenizer/tokenizer_json.h"
#include "tokenizer/unicode.h"
#include "tokenizer/vocabulary.h"
#include "tokenizer/wordpiece.h"

namespace ml_worker {
namespace {

namespace fs = std::filesystem;

JsonObject read_config(const fs::path& directory) {
  const fs::path path = directory / "tokenizer_config.json";
  if (!fs::exists(path)) return {nlohmann::json::object(), path.string()};
  return read_json_object(path, kMaxTokenizerBytes);
}

PipelineParts from_tokenizer_json(const fs::path& path, const JsonObject& config) {
  PipelineParts parts = parts_of_tokenizer_json(read_json_object(path, kMaxTokenizerBytes));
  if (is_bert_class(config)) parts.normalizer = bert_normalizer_of(config);
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
  // Other classes (MPNetTokenizer …) read the same file with other tokens round the text.
  if (config.has("tokenizer_class") && !is_bert_class(config)) {
    config.fail("tokenizer_class '" + config.text("tokenizer_class") +
                "' is not supported without tokenizer.json");
  }
  PipelineParts parts;
  parts.model = read_wordpiece(path, config);
  parts.normalizer = bert_normalizer_of(config);
  parts.pre_tokenizer = std::make_unique<BertPreTokenizer>();
  parts.added_tokens = special_tokens(*parts.model, config);
  const auto id = [&](const char* key, const char* fallback) {
    return required_id(*parts.model, special_token(config, key, fallback), path);
  };
  parts.sequence_template = {{id("cls_token", "[CLS]")}, {id("sep_token", "[SEP]")}};
  return parts;
}

PipelineParts read_parts(const fs::path& directory, const JsonObject& config) {
  const fs::path whole = directory / "tokenizer.json";
  const fs::path vocabulary = directory / "vocab.txt";
  if (fs::exists(whole)) return from_tokenizer_json(whole, config);
  if (fs::exists(vocabulary)) return from_vocabulary(vocabulary, config);
  throw StartupError(ExitCode::model,
                     directory.string() + ": neither tokenizer.json nor vocab.txt is there");
}

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer(const fs::path& model_directory) {
  const JsonObject config = read_config(model_directory);
  PipelineParts parts = read_parts(model_directory, config);
  add_configured_tokens(config, parts);
  return std::make_unique<PipelineTokenizer>(std::move(parts));
}

}  // namespace ml_worker
