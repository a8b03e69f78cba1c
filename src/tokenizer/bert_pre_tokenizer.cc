#include "tokenizer/bert_pre_tokenizer.h"

#include "tokenizer/unicode.h"

namespace ml_worker {

void BertPreTokenizer::split(std::u32string_view text,
                             std::vector<std::u32string_view>& words) const {
  std::size_t start = 0;
  const auto end_word = [&](std::size_t end) {
    if (end > start) words.push_back(text.substr(start, end - start));
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool punctuation = unicode::is_punctuation(text[i]);
    if (!punctuation && !unicode::is_white_space(text[i])) continue;
    end_word(i);
    if (punctuation) words.push_back(text.substr(i, 1));
    start = i + 1;
  }
  end_word(text.size());
}

}  // namespace ml_worker
