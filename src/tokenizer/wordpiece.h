// WordPiece: greedy longest match from the left (Wu et al. 2016, as Hugging Face has it).
#pragma once

#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tokenizer/components.h"
#include "tokenizer/token_ids.h"

namespace ml_worker {

struct WordPieceOptions {
  std::u32string unknown_token = U"[UNK]";
  std::u32string continuing_prefix = U"##";
  std::size_t max_word_length = 100;  ///< code points; a longer word is unknown
};

class WordPiece : public SubwordModel {
 public:
  /// Ids are not negative. Throws std::invalid_argument if the unknown token is not in
  /// `vocabulary`.
  WordPiece(const VocabularyEntries& vocabulary, WordPieceOptions options);

  void tokenize(std::u32string_view word, std::vector<std::int32_t>& ids) const override;
  void split(std::u32string_view word, std::vector<WordPart>& parts) const override;
  std::int32_t id_of(std::u32string_view token) const override;
  std::size_t vocabulary_size() const override { return vocabulary_size_; }

 private:
  struct Table {
    TokenIds ids;
    std::size_t longest = 0;
    void add(std::u32string token, std::int32_t id);
    /// The longest token that `text` begins with: its length (0 if there is none) and id.
    std::pair<std::size_t, std::int32_t> longest_match(std::u32string_view text) const;
  };

  /// Calls `take(id, length)` for each piece; false if the word has none that fits.
  template <typename Take>
  bool cut(std::u32string_view word, Take take) const;

  WordPieceOptions options_;
  Table tokens_;         ///< as they stand in the vocabulary
  Table continuations_;  ///< those with the prefix, without it
  std::int32_t unknown_id_;
  std::size_t vocabulary_size_ = 0;
};

}  // namespace ml_worker
