// BertPreTokenizer of Hugging Face `tokenizers`: words between white space; every punctuation
// character is a word.
#pragma once

#include "tokenizer/components.h"

namespace ml_worker {

class BertPreTokenizer : public PreTokenizer {
 public:
  void split(std::u32string_view text, std::vector<std::u32string_view>& words) const override;
};

}  // namespace ml_worker
