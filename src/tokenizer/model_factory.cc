#include "tokenizer/model_factory.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "ml_worker/startup_error.h"
#include "tokenizer/unicode.h"
#include "tokenizer/vocabulary.h"
#include "tokenizer/wordpiece.h"

namespace ml_worker {
namespace {

/// Runs `make`, with what it refuses told at the place of `stage`.
template <typename Make>
std::unique_ptr<SubwordModel> made_at(const JsonObject& stage, Make make) {
  try {
    return make();
  } catch (const std::invalid_argument& error) {
    stage.fail(error.what());
  }
}

std::unique_ptr<SubwordModel> make_wordpiece(const JsonObject& stage) {
  WordPieceOptions options;
  options.unknown_token = unicode::decode(stage.text("unk_token", "[UNK]"));
  options.continuing_prefix = unicode::decode(stage.text("continuing_subword_prefix", "##"));
  options.max_word_length =
      static_cast<std::size_t>(stage.integer("max_input_chars_per_word", 1, 10000, 100));
  return made_at(stage, [&] {
    return std::make_unique<WordPiece>(read_vocabulary(stage), std::move(options));
  });
}

std::pair<std::u32string, std::u32string> parse_merge(std::string_view line,
                                                      const std::string& where) {
  const std::size_t blank = line.find(' ');
  if (blank == std::string_view::npos || line.find(' ', blank + 1) != std::string_view::npos) {
    throw StartupError(ExitCode::model, where + ": expected \"left right\", got \"" +
                                            std::string(line.substr(0, 100)) + "\"");
  }
  return {unicode::decode(line.substr(0, blank)), unicode::decode(line.substr(blank + 1))};
}

bool is_pair_of_texts(const nlohmann::json& value) {
  return value.is_array() && value.size() == 2 && value[0].is_string() && value[1].is_string();
}

/// Each rule is "left right" or ["left", "right"].
MergeRules read_merges(const JsonObject& stage) {
  if (!stage.has("merges") || !stage.json()["merges"].is_array()) {
    stage.fail("'merges': expected an array");
  }
  MergeRules merges;
  for (const auto& merge : stage.json()["merges"]) {
    const std::string where = stage.where() + ": merges[" + std::to_string(merges.size()) + "]";
    if (merge.is_string()) {
      merges.push_back(parse_merge(merge.get_ref<const std::string&>(), where));
    } else if (is_pair_of_texts(merge)) {
      merges.emplace_back(unicode::decode(merge[0].get_ref<const std::string&>()),
                          unicode::decode(merge[1].get_ref<const std::string&>()));
    } else {
      stage.fail("merges[" + std::to_string(merges.size()) + "]: expected two tokens");
    }
  }
  return merges;
}

void refuse_bpe_options(const JsonObject& stage) {
  if (stage.number("dropout", 0) != 0) stage.fail("'dropout' is not supported");
  if (stage.flag("byte_fallback", false)) stage.fail("'byte_fallback' is not supported");
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!stage.text(key, "").empty()) stage.fail(std::string("'") + key + "' is not supported");
  }
}

std::unique_ptr<SubwordModel> make_bpe(const JsonObject& stage) {
  refuse_bpe_options(stage);
  BpeOptions options;
  if (stage.has("unk_token")) options.unknown_token = unicode::decode(stage.text("unk_token"));
  options.fuse_unknown = stage.flag("fuse_unk", false);
  options.ignore_merges = stage.flag("ignore_merges", false);
  return made_at(stage, [&] {
    return std::make_unique<Bpe>(read_vocabulary(stage), read_merges(stage), options);
  });
}

std::vector<UnigramPiece> read_pieces(const JsonObject& stage) {
  if (!stage.has("vocab") || !stage.json()["vocab"].is_array()) {
    stage.fail("'vocab': expected an array");
  }
  const auto& vocab = stage.json()["vocab"];
  if (vocab.size() > kMaxTokenId) stage.fail("'vocab': more than " + std::to_string(kMaxTokenId));
  std::vector<UnigramPiece> pieces;
  pieces.reserve(vocab.size());
  for (const auto& piece : vocab) {
    if (!piece.is_array() || piece.size() != 2 || !piece[0].is_string() || !piece[1].is_number()) {
      stage.fail("vocab[" + std::to_string(pieces.size()) + "]: expected [piece, score]");
    }
    pieces.push_back({piece[0].get<std::string>(), piece[1].get<double>()});
  }
  return pieces;
}

std::unique_ptr<SubwordModel> make_unigram(const JsonObject& stage) {
  if (stage.flag("byte_fallback", false)) stage.fail("'byte_fallback' is not supported");
  const auto unknown = static_cast<std::size_t>(stage.integer("unk_id", 0, kMaxTokenId));
  return made_at(stage, [&] { return std::make_unique<Unigram>(read_pieces(stage), unknown); });
}

}  // namespace

std::unique_ptr<SubwordModel> make_model(const JsonObject& stage) {
  // Files of before 2020 name no type; every kind but WordPiece has other fields.
  const std::string type =
      stage.text("type", stage.has("max_input_chars_per_word") ? "WordPiece" : "");
  if (type == "WordPiece") return make_wordpiece(stage);
  if (type == "BPE") return make_bpe(stage);
  if (type == "Unigram") return make_unigram(stage);
  stage.fail("type '" + type + "' is not supported");
}

MergeRules parse_merge_lines(std::string_view text, const std::string& where) {
  MergeRules merges;
  for (std::size_t line_number = 1; !text.empty(); ++line_number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.starts_with("#version")) continue;
    merges.push_back(parse_merge(line, where + ": line " + std::to_string(line_number)));
  }
  return merges;
}

}  // namespace ml_worker
