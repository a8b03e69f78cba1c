// Unicode normalisation forms as Hugging Face `tokenizers` applies them: with the tables of
// Unicode 9.0, younger characters left alone.
#pragma once

#include "tokenizer/components.h"

namespace ml_worker {

enum class NormalizationForm { nfc, nfd, nfkc, nfkd };

class UnicodeNormalizer : public Normalizer {
 public:
  /// Throws std::runtime_error if ICU came without its data.
  explicit UnicodeNormalizer(NormalizationForm form);
  void normalize(std::u32string_view text, std::u32string& out) const override;
  std::size_t segment_length(std::u32string_view text) const override;
  bool is_boundary(char32_t before, char32_t after) const override;

 private:
  NormalizationForm form_;
};

}  // namespace ml_worker
