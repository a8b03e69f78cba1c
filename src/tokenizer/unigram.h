// Unigram language model (Kudo 2018) on the sentencepiece library.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tokenizer/components.h"

namespace sentencepiece {
class SentencePieceProcessor;
}

namespace ml_worker {

struct UnigramPiece {
  std::string text;  ///< UTF-8
  double score = 0;  ///< log probability
};

class Unigram : public SubwordModel {
 public:
  /// A piece's id is its index; all of them, the special ones too, are found in text, as Hugging
  /// Face finds them. Throws std::invalid_argument that names what the library cannot take.
  Unigram(const std::vector<UnigramPiece>& pieces, std::size_t unknown_id);
  ~Unigram() override;

  /// The best segmentation; of equal ones that differ only in the order of pieces the one with the
  /// shorter first, as Hugging Face, of others the library's choice. A run of unknown characters is
  /// one token. Time is linear in the word.
  void tokenize(std::u32string_view word, std::vector<std::int32_t>& ids) const override;
  void split(std::u32string_view word, std::vector<WordPart>& parts) const override;
  std::int32_t id_of(std::u32string_view token) const override;
  std::size_t vocabulary_size() const override { return vocabulary_size_; }

 private:
  void add_characters(const std::vector<UnigramPiece>& pieces);
  bool read_alike_swapped(int left, int right) const;
  void put_shorter_first(std::vector<int>& pieces) const;
  std::vector<int> cut(std::u32string_view word) const;
  void cut_known(std::u32string_view run, std::vector<int>& pieces) const;
  std::int32_t id_of_piece(int piece) const;
  std::size_t length_of(int piece) const;

  std::unique_ptr<sentencepiece::SentencePieceProcessor> processor_;
  std::vector<std::string> pieces_;
  std::vector<std::size_t> lengths_;  ///< of the pieces, in code points
  std::vector<bool> is_known_;        ///< by code point: stands in some piece
  std::size_t vocabulary_size_;
  std::int32_t unknown_id_;
};

}  // namespace ml_worker
