// A tokenizer.json with a handful of tokens, to be changed by a test before it is loaded.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ml_worker/startup_error.h"
#include "ml_worker/tokenizer.h"
#include "support/temporary_directory.h"

namespace ml_worker::testing {

inline nlohmann::json added_token(int id, const std::string& content) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", true}};
}

/// 0 [PAD], 1 [UNK], 2 [CLS], 3 [SEP], 4 [MASK], then words and pieces.
inline nlohmann::json small_tokenizer_json() {
  const std::vector<std::string> tokens = {"[PAD]",  "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un",
                                           "##want", "##ed",  "want",  "hello", "!",      "cafe",
                                           "\u4e2d", "##lo",  "he",    "x",     "##x"};
  nlohmann::json vocab = nlohmann::json::object();
  for (std::size_t i = 0; i < tokens.size(); ++i) vocab[tokens[i]] = i;
  nlohmann::json json = nlohmann::json::parse(R"({
    "version": "1.0",
    "truncation": {"max_length": 4, "strategy": "LongestFirst", "stride": 0},
    "padding": {"strategy": {"Fixed": 128}},
    "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                   "strip_accents": null, "lowercase": true},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "post_processor": {
      "type": "TemplateProcessing",
      "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}},
                 {"Sequence": {"id": "A", "type_id": 0}},
                 {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
      "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
                         "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}}},
    "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
              "max_input_chars_per_word": 10}})");
  json["model"]["vocab"] = vocab;
  json["added_tokens"] = nlohmann::json::array();
  for (int id = 0; id < 5; ++id) {
    json["added_tokens"].push_back(added_token(id, tokens[static_cast<std::size_t>(id)]));
  }
  return json;
}

inline std::unique_ptr<Tokenizer> load(const std::string& tokenizer_json,
                                       const std::string& config = "") {
  const TemporaryDirectory directory;
  directory.write("tokenizer.json", tokenizer_json);
  if (!config.empty()) directory.write("tokenizer_config.json", config);
  return load_tokenizer(directory.path());
}

inline std::unique_ptr<Tokenizer> load(const nlohmann::json& tokenizer_json,
                                       const std::string& config = "") {
  return load(tokenizer_json.dump(), config);
}

/// What loading says; "" if it succeeds.
template <typename Json>
std::string refusal(const Json& tokenizer_json, const std::string& config = "") {
  try {
    load(tokenizer_json, config);
    return "";
  } catch (const StartupError& error) {
    return error.code() == ExitCode::model ? error.what() : "wrong exit code";
  }
}

using Ids = std::vector<std::int32_t>;

inline Ids ids_of(const Tokenizer& tokenizer, std::string_view text, std::size_t limit = 1000,
                  TruncationSide side = TruncationSide::right) {
  return tokenizer.encode(text, limit, side).ids;
}

/// The parts of `text` that its tokens stand for, special ones in brackets of their own: "<[CLS]>".
inline std::vector<std::string> pieces_of(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<std::string> parts;
  for (const Piece& piece : tokenizer.pieces(text)) {
    const std::string part(text.substr(piece.begin, piece.end - piece.begin));
    parts.push_back(piece.special ? "<" + *piece.special + ">" : part);
  }
  return parts;
}

}  // namespace ml_worker::testing
