// Reading vocabularies and added tokens from files that nobody vouches for.
#pragma once

#include <string_view>
#include <vector>

#include "json/json_file.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/wordpiece.h"

namespace ml_worker {

inline constexpr std::int64_t kMaxTokenId = 9'999'999;
inline constexpr std::size_t kMaxTokenizerBytes = std::size_t{128} << 20;

/// The object `vocab` of `model`: token → id, each id once.
VocabularyEntries read_vocabulary(const JsonObject& model);
/// The object itself (vocab.json).
VocabularyEntries read_vocabulary_object(const JsonObject& vocab);

/// vocab.txt: a token a line, the line number (from 0) is its id; of equal lines the last counts.
VocabularyEntries parse_vocabulary_lines(std::string_view text);

/// One added token as tokenizer.json and tokenizer_config.json write it, without its id.
AddedToken read_added_token(const JsonObject& token);

}  // namespace ml_worker
