// Running one stage of a tokenizer on a text.
#pragma once

#include <string>
#include <vector>

#include "tokenizer/components.h"

namespace ml_worker::testing {

inline std::u32string normalized(const Normalizer& normalizer, std::u32string_view text) {
  std::u32string out;
  normalizer.normalize(text, out);
  return out;
}

inline std::vector<std::u32string> words_of(const PreTokenizer& pre_tokenizer,
                                            std::u32string_view text) {
  std::u32string storage;
  std::vector<std::u32string_view> words;
  pre_tokenizer.split(pre_tokenizer.prepare(text, storage), words);
  return {words.begin(), words.end()};
}

inline std::vector<std::int32_t> ids_of_word(const SubwordModel& model, std::u32string_view word) {
  std::vector<std::int32_t> ids;
  model.tokenize(word, ids);
  return ids;
}

}  // namespace ml_worker::testing
