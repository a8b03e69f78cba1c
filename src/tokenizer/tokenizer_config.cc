#include "tokenizer/tokenizer_config.h"

#include <algorithm>
#include <charconv>
#include <memory>
#include <utility>

#include "tokenizer/bert_normalizer.h"
#include "tokenizer/unicode.h"
#include "tokenizer/vocabulary.h"

namespace ml_worker {
namespace {

bool is_known(const PipelineParts& parts, const std::u32string& content) {
  return std::any_of(parts.added_tokens.begin(), parts.added_tokens.end(),
                     [&](const AddedToken& token) { return token.content == content; });
}

std::int32_t parse_id(const JsonObject& decoder, const std::string& key) {
  std::int32_t id = -1;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
  if (error != std::errc() || end != key.data() + key.size() || id < 0 || id > kMaxTokenId) {
    decoder.fail("expected token ids as keys, got '" + key + "'");
  }
  return id;
}

void add_token(const JsonObject& entry, std::int32_t id, PipelineParts& parts) {
  AddedToken token = read_added_token(entry);
  if (is_known(parts, token.content)) return;
  token.id = id;
  const std::int32_t known = parts.model->id_of(token.content);
  if (known >= 0 && known != id) entry.fail("its id does not agree with the vocabulary");
  parts.added_tokens.push_back(std::move(token));
}

void check_listed(const JsonObject& config, const std::string& key, const PipelineParts& parts) {
  if (!config.has(key) || !config.json()[key].is_array()) return;
  for (const auto& token : config.json()[key]) {
    if (token.is_string() && is_known(parts, unicode::decode(token.get<std::string>()))) continue;
    config.fail("'" + key + "': " + token.dump() + " is not an added token of the tokenizer");
  }
}

}  // namespace

bool is_bert_class(const JsonObject& config) {
  const std::string name = config.text("tokenizer_class", "");
  return name == "BertTokenizer" || name == "BertTokenizerFast" || name == "DistilBertTokenizer" ||
         name == "DistilBertTokenizerFast";
}

std::unique_ptr<Normalizer> bert_normalizer_of(const JsonObject& config) {
  BertNormalizerOptions options;
  options.lowercase = config.flag("do_lower_case", true);
  options.strip_accents = config.flag("strip_accents");
  options.handle_chinese_chars = config.flag("tokenize_chinese_chars", true);
  return std::make_unique<BertNormalizer>(options);
}

std::string special_token(const JsonObject& config, const std::string& key,
                          const std::string& fallback) {
  if (config.has(key) && config.json()[key].is_object()) {
    return config.object(key).text("content");
  }
  return config.text(key, fallback);
}

void add_configured_tokens(const JsonObject& config, PipelineParts& parts) {
  if (config.has("added_tokens_decoder")) {
    const JsonObject decoder = config.object("added_tokens_decoder");
    for (const auto& [key, value] : decoder.json().items()) {
      add_token(decoder.object(key), parse_id(decoder, key), parts);
    }
  }
  check_listed(config, "additional_special_tokens", parts);
  check_listed(config, "extra_special_tokens", parts);
}

}  // namespace ml_worker
