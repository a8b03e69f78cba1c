// tokenizer_config.json: what `transformers` lets it change about a tokenizer.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "json/json_file.h"
#include "tokenizer/pipeline.h"

namespace ml_worker {

/// True if `transformers` builds this tokenizer from the fields of tokenizer_config.json and takes
/// only the vocabulary from elsewhere (classes BertTokenizer,
/// DistilBertTokenizer), so that tokenizer.json's normaliser
/// does not count.
bool is_bert_class(const JsonObject& config);

/// do_lower_case, strip_accents, tokenize_chinese_chars.
std::unique_ptr<Normalizer> bert_normalizer_of(const JsonObject& config);

/// The special token `key` ("cls_token"), written as text or as an object.
std::string special_token(const JsonObject& config, const std::string& key,
                          const std::string& fallback);

/// Takes up added tokens that only tokenizer_config.json has. Refuses by name what it cannot.
void add_configured_tokens(const JsonObject& config, PipelineParts& parts);

}  // namespace ml_worker
