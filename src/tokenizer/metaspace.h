// Metaspace of Hugging Face `tokenizers`, alone or after WhitespaceSplit: blanks become a visible
// sign, and each word begins with it.
#pragma once

#include "tokenizer/components.h"

namespace ml_worker {

struct MetaspaceOptions {
  char32_t replacement = U'\u2581';
  bool prepend = true;           ///< the sign also before the first word
  bool split = true;             ///< a word begins at each sign
  bool whitespace_split = true;  ///< WhitespaceSplit comes first
};

class MetaspacePreTokenizer : public PreTokenizer {
 public:
  explicit MetaspacePreTokenizer(const MetaspaceOptions& options) : options_(options) {}
  std::u32string_view prepare(std::u32string_view text, std::u32string& storage) const override;
  void prepare_aligned(std::u32string_view text, AlignedText& out) const override;
  void split(std::u32string_view text, std::vector<std::u32string_view>& words) const override;
  bool is_boundary(char32_t before, char32_t after) const override;

 private:
  void append_word(std::u32string_view word, std::u32string& out) const;

  MetaspaceOptions options_;
};

}  // namespace ml_worker
