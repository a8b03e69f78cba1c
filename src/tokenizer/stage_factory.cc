#include "tokenizer/stage_factory.h"

#include <stdexcept>
#include <utility>

#include "tokenizer/base64.h"
#include "tokenizer/bert_normalizer.h"
#include "tokenizer/bert_pre_tokenizer.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/charsmap.h"
#include "tokenizer/metaspace.h"
#include "tokenizer/text_normalizers.h"
#include "tokenizer/unicode.h"
#include "tokenizer/unicode_normalizer.h"

namespace ml_worker {
namespace {

using Normalizers = std::vector<std::unique_ptr<Normalizer>>;

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

std::unique_ptr<Normalizer> make_charsmap(const JsonObject& stage) {
  try {
    return std::make_unique<CharsmapNormalizer>(decode_base64(stage.text("precompiled_charsmap")));
  } catch (const std::invalid_argument& error) {
    stage.fail(error.what());
  }
}

std::unique_ptr<Normalizer> make_replace(const JsonObject& stage) {
  if (stage.object("pattern").text("Regex", "") != " {2,}") {
    stage.fail("'pattern': only the Regex \" {2,}\" is supported");
  }
  return std::make_unique<BlankRunNormalizer>(unicode::decode(stage.text("content")));
}

std::unique_ptr<Normalizer> make_normalizer_stage(const JsonObject& stage) {
  const std::string type = stage.text("type");
  const auto form = [](NormalizationForm kind) {
    return std::make_unique<UnicodeNormalizer>(kind);
  };
  if (type == "BertNormalizer") return make_bert_normalizer(stage);
  if (type == "Precompiled") return make_charsmap(stage);
  if (type == "Replace") return make_replace(stage);
  if (type == "Lowercase") return std::make_unique<LowercaseNormalizer>();
  if (type == "NFC") return form(NormalizationForm::nfc);
  if (type == "NFD") return form(NormalizationForm::nfd);
  if (type == "NFKC") return form(NormalizationForm::nfkc);
  if (type == "NFKD") return form(NormalizationForm::nfkd);
  if (type == "Strip") {
    return std::make_unique<StripNormalizer>(stage.flag("strip_left", true),
                                             stage.flag("strip_right", true));
  }
  refuse_type(stage);
}

/// The stages of a Sequence, or the one stage.
std::vector<JsonObject> stages_of(const JsonObject& tokenizer, const std::string& field,
                                  const std::string& sequence_field) {
  if (!tokenizer.has(field)) return {};
  const JsonObject stage = tokenizer.object(field);
  if (stage.text("type") == "Sequence") return stage.objects(sequence_field);
  return {stage};
}

std::unique_ptr<Normalizer> in_sequence(Normalizers normalizers) {
  if (normalizers.size() == 1) return std::move(normalizers[0]);
  return std::make_unique<NormalizerSequence>(std::move(normalizers));
}

bool read_prepend(const JsonObject& stage) {
  // Files of before 2024 have add_prefix_space only.
  const bool by_default = stage.flag("add_prefix_space", true);
  const std::string scheme = stage.text("prepend_scheme", by_default ? "always" : "never");
  if (scheme != "always" && scheme != "never") {
    stage.fail("prepend_scheme '" + scheme + "' is not supported");
  }
  return scheme == "always";
}

std::unique_ptr<PreTokenizer> make_metaspace(const JsonObject& stage, bool whitespace_split) {
  const std::u32string sign = unicode::decode(stage.text("replacement", "\u2581"));
  if (sign.size() != 1) stage.fail("'replacement': expected one character");
  return std::make_unique<MetaspacePreTokenizer>(
      MetaspaceOptions{sign[0], read_prepend(stage), stage.flag("split", true), whitespace_split});
}

std::unique_ptr<PreTokenizer> make_byte_level(const JsonObject& stage) {
  if (!stage.flag("use_regex", true)) stage.fail("'use_regex': false is not supported");
  return std::make_unique<ByteLevelPreTokenizer>(stage.flag("add_prefix_space", true));
}

}  // namespace

std::unique_ptr<Normalizer> make_normalizer(const JsonObject& tokenizer) {
  Normalizers normalizers;
  for (const JsonObject& stage : stages_of(tokenizer, "normalizer", "normalizers")) {
    normalizers.push_back(make_normalizer_stage(stage));
  }
  return in_sequence(std::move(normalizers));
}

std::unique_ptr<Normalizer> make_charsmap_only(const JsonObject& tokenizer) {
  Normalizers normalizers;
  for (const JsonObject& stage : stages_of(tokenizer, "normalizer", "normalizers")) {
    if (!normalizers.empty() || stage.text("type") != "Precompiled") continue;
    normalizers.push_back(make_charsmap(stage));
  }
  return in_sequence(std::move(normalizers));
}

std::unique_ptr<PreTokenizer> make_pre_tokenizer(const JsonObject& tokenizer) {
  auto stages = stages_of(tokenizer, "pre_tokenizer", "pretokenizers");
  if (stages.empty()) tokenizer.fail("without a pre_tokenizer it is not supported");
  const bool whitespace_split = stages[0].text("type") == "WhitespaceSplit";
  if (whitespace_split) stages.erase(stages.begin());
  if (stages.size() != 1) tokenizer.fail("this sequence of pre-tokenizers is not supported");
  const JsonObject& stage = stages[0];
  const std::string type = stage.text("type");
  if (type == "Metaspace") return make_metaspace(stage, whitespace_split);
  if (whitespace_split) stage.fail("'" + type + "' after WhitespaceSplit is not supported");
  if (type == "BertPreTokenizer") return std::make_unique<BertPreTokenizer>();
  if (type == "ByteLevel") return make_byte_level(stage);
  refuse_type(stage);
}

}  // namespace ml_worker
