// BertNormalizer of Hugging Face `tokenizers`.
#pragma once

#include <optional>

#include "tokenizer/components.h"

namespace ml_worker {

struct BertNormalizerOptions {
  bool clean_text = true;             ///< drop controls, make every white space a blank
  bool handle_chinese_chars = true;   ///< blanks round CJK ideographs
  std::optional<bool> strip_accents;  ///< none: as `lowercase`
  bool lowercase = true;
};

class BertNormalizer : public Normalizer {
 public:
  explicit BertNormalizer(const BertNormalizerOptions& options);
  void normalize(std::u32string_view text, std::u32string& out) const override;
  std::size_t segment_length(std::u32string_view text) const override;
  bool is_boundary(char32_t before, char32_t after) const override;

 private:
  class Run;
  void add(char32_t c, Run& run) const;

  bool clean_text_;
  bool handle_chinese_chars_;
  bool strip_accents_;
  bool lowercase_;
};

}  // namespace ml_worker
