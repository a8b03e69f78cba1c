#include "tokenizer/tokenizer_json.h"

#include <algorithm>
#include <set>
#include <stdexcept>
#include <utility>

#include "tokenizer/bert_pre_tokenizer.h"
#include "tokenizer/unicode.h"
#include "tokenizer/vocabulary.h"
#include "tokenizer/wordpiece.h"

namespace ml_worker {
namespace {

[[noreturn]] void refuse_type(const JsonObject& stage) {
  stage.fail("type '" + stage.text("type") + "' is not supported");
}

std::unique_ptr<Normalizer> make_bert_normalizer(const JsonObject& stage) {
  BertNormalizerOptions options;
  options.clean_text = stage.flag("clean_text", true);
  options.handle_chinese_chars = stage.flag("handle_chinese_chars", true);
  options.strip_accents = stage.flag("strip_accents");
  options.lowercase = stage.flag("lowercase", true);
  return std::make_unique<BertNormalizer>(options);
}

std::unique_ptr<Normalizer> make_normalizer(const JsonObject& stage) {
  const std::string type = stage.text("type");
  if (type == "BertNormalizer") return make_bert_normalizer(stage);
  refuse_type(stage);
}

std::unique_ptr<PreTokenizer> make_pre_tokenizer(const JsonObject& stage) {
  const std::string type = stage.text("type");
  if (type == "BertPreTokenizer") return std::make_unique<BertPreTokenizer>();
  refuse_type(stage);
}

std::unique_ptr<SubwordModel> make_wordpiece(const JsonObject& stage) {
  WordPieceOptions options;
  options.unknown_token = unicode::decode(stage.text("unk_token", "[UNK]"));
  options.continuing_prefix = unicode::decode(stage.text("continuing_subword_prefix", "##"));
  options.max_word_length =
      static_cast<std::size_t>(stage.integer("max_input_chars_per_word", 1, 10000, 100));
  try {
    return std::make_unique<WordPiece>(read_vocabulary(stage), std::move(options));
  } catch (const std::invalid_argument& error) {
    stage.fail(error.what());
  }
}

std::unique_ptr<SubwordModel> make_model(const JsonObject& stage) {
  // Files of before 2020 name no type; every kind but WordPiece has other fields.
  const std::string type =
      stage.text("type", stage.has("max_input_chars_per_word") ? "WordPiece" : "");
  if (type == "WordPiece") return make_wordpiece(stage);
  refuse_type(stage);
}

/// Ids go as Hugging Face hands them out: the model's own for a token that it knows, else the next
/// free one. A file that says otherwise would run with ids that its author did not mean.
std::vector<AddedToken> read_added_tokens(const JsonObject& tokenizer, const SubwordModel& model) {
  std::vector<AddedToken> tokens;
  std::set<std::u32string> seen;
  if (!tokenizer.has("added_tokens")) return tokens;
  for (const JsonObject& entry : tokenizer.objects("added_tokens")) {
    AddedToken token = read_added_token(entry);
    token.id = static_cast<std::int32_t>(entry.integer("id", 0, kMaxTokenId));
    const std::int32_t known = model.id_of(token.content);
    const bool fits = known >= 0 ? known == token.id
                                 : static_cast<std::size_t>(token.id) >= model.vocabulary_size();
    if (!fits) entry.fail("its id does not agree with the vocabulary");
    if (!seen.insert(token.content).second) entry.fail("stands there twice");
    tokens.push_back(std::move(token));
  }
  return tokens;
}

/// `special_tokens` of a TemplateProcessing: the ids of token `name`.
std::vector<std::int32_t> template_ids(const JsonObject& stage, const std::string& name) {
  const JsonObject token = stage.object("special_tokens").object(name);
  if (!token.has("ids") || !token.json()["ids"].is_array()) token.fail("'ids': expected an array");
  std::vector<std::int32_t> ids;
  for (const auto& id : token.json()["ids"]) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() > kMaxTokenId) {
      token.fail("'ids': expected token ids, got " + id.dump());
    }
    ids.push_back(id.get<std::int32_t>());
  }
  return ids;
}

SequenceTemplate read_template(const JsonObject& stage) {
  SequenceTemplate result;
  bool past_text = false;
  for (const JsonObject& piece : stage.objects("single")) {
    if (piece.has("Sequence")) {
      if (past_text) piece.fail("a second sequence is not supported");
      past_text = true;
      continue;
    }
    const auto ids = template_ids(stage, piece.object("SpecialToken").text("id"));
    auto& side = past_text ? result.after : result.before;
    side.insert(side.end(), ids.begin(), ids.end());
    if (side.size() > 16) stage.fail("more than 16 special tokens round a text");
  }
  if (!past_text) stage.fail("'single' has no sequence");
  return result;
}

/// `["[SEP]", 102]`
std::int32_t read_token_pair(const JsonObject& stage, const std::string& key) {
  const auto& pair = stage.has(key) ? stage.json()[key] : nlohmann::json();
  if (!pair.is_array() || pair.size() != 2 || !pair[1].is_number_unsigned() ||
      pair[1].get<std::uint64_t>() > kMaxTokenId) {
    stage.fail("'" + key + "': expected [token, id]");
  }
  return pair[1].get<std::int32_t>();
}

SequenceTemplate make_template(const JsonObject& tokenizer) {
  if (!tokenizer.has("post_processor")) return {};
  const JsonObject stage = tokenizer.object("post_processor");
  const std::string type = stage.text("type");
  if (type == "TemplateProcessing") return read_template(stage);
  if (type == "BertProcessing") {
    return {{read_token_pair(stage, "cls")}, {read_token_pair(stage, "sep")}};
  }
  refuse_type(stage);
}

void check_template(const JsonObject& tokenizer, const PipelineParts& parts) {
  std::size_t size = parts.model->vocabulary_size();
  for (const auto& token : parts.added_tokens) {
    size = std::max(size, static_cast<std::size_t>(token.id) + 1);
  }
  for (const auto* side : {&parts.sequence_template.before, &parts.sequence_template.after}) {
    for (const std::int32_t id : *side) {
      if (static_cast<std::size_t>(id) >= size) {
        tokenizer.fail("post_processor: id " + std::to_string(id) + " is not in the vocabulary");
      }
    }
  }
}

}  // namespace

PipelineParts parts_of_tokenizer_json(const JsonObject& tokenizer) {
  PipelineParts parts;
  parts.model = make_model(tokenizer.object("model"));
  parts.normalizer = make_normalizer(tokenizer.object("normalizer"));
  parts.pre_tokenizer = make_pre_tokenizer(tokenizer.object("pre_tokenizer"));
  parts.added_tokens = read_added_tokens(tokenizer, *parts.model);
  parts.sequence_template = make_template(tokenizer);
  check_template(tokenizer, parts);
  return parts;
}

}  // namespace ml_worker
