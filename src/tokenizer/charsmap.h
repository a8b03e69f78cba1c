// The normaliser of SentencePiece models ("Precompiled"): replacements in a double-array trie.
//
// Format (sentencepiece, normalizer.cc): uint32 little-endian size of the trie in bytes, the trie
// (units of Darts-clone, uint32 little-endian), then the replacements, each ended by a NUL.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "tokenizer/components.h"

namespace ml_worker {

class CharsmapNormalizer : public Normalizer {
 public:
  /// Throws std::invalid_argument if `charsmap` is not of that format.
  explicit CharsmapNormalizer(std::string_view charsmap);

  /// As Hugging Face, which differs from sentencepiece on combining marks: a grapheme cluster under
  /// six bytes is replaced as a whole if any key is a prefix of it (the shortest one counts), else
  /// each of its code points is.
  void normalize(std::u32string_view text, std::u32string& out) const override;
  void normalize_aligned(std::u32string_view text, AlignedText& out) const override;
  /// A grapheme cluster.
  std::size_t segment_length(std::u32string_view text) const override;
  bool is_boundary(char32_t before, char32_t after) const override;

 private:
  /// Where the replacement of the shortest key that `text` begins with stands.
  std::optional<std::size_t> shortest_match(std::string_view text) const;
  bool replace_whole(std::u32string_view cluster, std::u32string& out) const;
  void replace_one(char32_t c, std::u32string& out) const;
  bool replace(std::string_view text, std::u32string& out) const;

  std::vector<std::uint32_t> units_;
  std::string replacements_;
  std::array<bool, 128> is_plain_{};  ///< ASCII that stays as it is
};

}  // namespace ml_worker
