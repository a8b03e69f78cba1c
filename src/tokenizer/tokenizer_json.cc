#include "tokenizer/tokenizer_json.h"

#include <algorithm>
#include <set>
#include <stdexcept>
#include <utility>

#include "tokenizer/model_factory.h"
#include "tokenizer/stage_factory.h"
#include "tokenizer/unicode.h"
#include "tokenizer/vocabulary.h"

namespace ml_worker {
namespace {

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

/// The `pair` of a TemplateProcessing; none if it is not `… A … B …` with the types 0, then 1.
std::optional<PairTemplate> read_pair_template(const JsonObject& stage) {
  PairTemplate pair;
  std::size_t sequences = 0;
  std::int64_t type = 0;
  if (!stage.has("pair")) return std::nullopt;
  for (const JsonObject& piece : stage.objects("pair")) {
    const bool is_sequence = piece.has("Sequence");
    const JsonObject body = piece.object(is_sequence ? "Sequence" : "SpecialToken");
    const std::int64_t next_type = body.integer("type_id", 0, UINT32_MAX);
    if (next_type < type || next_type > 1 || (next_type == 1 && sequences == 0)) return {};
    if (next_type > type) pair.first_types = pair.between.size();
    type = next_type;
    if (is_sequence) {
      if (sequences == 2 || body.text("id") != (sequences == 0 ? "A" : "B")) return {};
      ++sequences;
      continue;
    }
    auto& side = sequences == 0 ? pair.before : sequences == 1 ? pair.between : pair.after;
    const auto ids = template_ids(stage, body.text("id"));
    side.insert(side.end(), ids.begin(), ids.end());
  }
  // Type 1 that begins after the second text would leave nothing for first_types to say.
  if (sequences != 2 || pair.first_types.value_or(0) > pair.between.size()) return {};
  return pair;
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

/// What goes round one text and round two.
struct Templates {
  SequenceTemplate single;
  std::optional<PairTemplate> pair = PairTemplate{{}, {}, {}, 0};
  bool plain = true;  ///< nothing goes round
};

Templates make_template(const JsonObject& stage) {
  const std::string type = stage.text("type");
  if (type == "TemplateProcessing") {
    return {read_template(stage), read_pair_template(stage), false};
  }
  // It only moves offsets.
  if (type == "ByteLevel") return {};
  const bool is_bert = type == "BertProcessing";
  if (!is_bert && type != "RobertaProcessing") stage.fail("type '" + type + "' is not supported");
  const std::int32_t cls = read_token_pair(stage, "cls");
  const std::int32_t sep = read_token_pair(stage, "sep");
  return {{{cls}, {sep}}, is_bert ? bert_pair(cls, sep) : roberta_pair(cls, sep), false};
}

/// `next` goes round what `inner` has made. For pairs there is no telling what that would mean.
Templates combine(Templates inner, Templates next) {
  if (next.plain) return inner;
  if (inner.plain) return next;
  auto& [before, after] = inner.single;
  before.insert(before.begin(), next.single.before.begin(), next.single.before.end());
  after.insert(after.end(), next.single.after.begin(), next.single.after.end());
  inner.pair.reset();
  return inner;
}

Templates make_templates(const JsonObject& tokenizer) {
  if (!tokenizer.has("post_processor")) return {};
  const JsonObject stage = tokenizer.object("post_processor");
  if (stage.text("type") != "Sequence") return make_template(stage);
  Templates result;
  for (const JsonObject& part : stage.objects("processors")) {
    result = combine(std::move(result), make_template(part));
  }
  return result;
}

/// Whether a stage moves the places of tokens past the blanks at their ends.
void read_trimming(const JsonObject& tokenizer, PipelineParts& parts) {
  if (!tokenizer.has("post_processor")) return;
  const JsonObject processor = tokenizer.object("post_processor");
  std::vector<JsonObject> stages = {processor};
  if (processor.text("type") == "Sequence") stages = processor.objects("processors");
  for (const JsonObject& stage : stages) {
    const std::string type = stage.text("type");
    if (type != "ByteLevel" && type != "RobertaProcessing") continue;
    if (!stage.flag("trim_offsets", true)) continue;
    parts.trims_blanks = true;
    parts.keeps_first_blank = stage.flag("add_prefix_space", true);
  }
}

/// Stages that only make sense together.
void check_stages(const JsonObject& tokenizer) {
  const std::string model = tokenizer.object("model").text("type", "");
  const std::string pre_tokenizer = tokenizer.object("pre_tokenizer").text("type");
  if ((model == "BPE") != (pre_tokenizer == "ByteLevel")) {
    tokenizer.fail("model " + model + " after pre_tokenizer " + pre_tokenizer +
                   " is not supported");
  }
}

void check_template(const JsonObject& tokenizer, const PipelineParts& parts) {
  std::size_t size = parts.model->vocabulary_size();
  for (const auto& token : parts.added_tokens) {
    size = std::max(size, static_cast<std::size_t>(token.id) + 1);
  }
  const PairTemplate pair = parts.pair_template.value_or(PairTemplate());
  for (const auto* side : {&parts.sequence_template.before, &parts.sequence_template.after,
                           &pair.before, &pair.between, &pair.after}) {
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
  parts.normalizer = make_normalizer(tokenizer);
  parts.pre_tokenizer = make_pre_tokenizer(tokenizer);
  check_stages(tokenizer);
  parts.added_tokens = read_added_tokens(tokenizer, *parts.model);
  Templates templates = make_templates(tokenizer);
  parts.sequence_template = std::move(templates.single);
  parts.pair_template = std::move(templates.pair);
  read_trimming(tokenizer, parts);
  check_template(tokenizer, parts);
  return parts;
}

}  // namespace ml_worker
