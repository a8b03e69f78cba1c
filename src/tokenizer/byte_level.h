// ByteLevel of Hugging Face `tokenizers`: words by GPT-2's regular expression, bytes written as
// printable characters.
#pragma once

#include <array>
#include <cstdint>

#include "tokenizer/components.h"

namespace ml_worker {

/// The character that stands for each byte in a vocabulary (GPT-2's bytes_to_unicode).
const std::array<char32_t, 256>& byte_characters();

/// Splits by `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`.
/// The words stay text; their bytes are the model's business.
class ByteLevelPreTokenizer : public PreTokenizer {
 public:
  explicit ByteLevelPreTokenizer(bool add_prefix_space) : add_prefix_space_(add_prefix_space) {}
  std::u32string_view prepare(std::u32string_view text, std::u32string& storage) const override;
  void prepare_aligned(std::u32string_view text, AlignedText& out) const override;
  void split(std::u32string_view text, std::vector<std::u32string_view>& words) const override;
  bool is_boundary(char32_t before, char32_t after) const override;

 private:
  bool add_prefix_space_;
};

}  // namespace ml_worker
