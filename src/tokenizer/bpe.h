// Byte-level byte-pair encoding (Sennrich et al. 2016; Radford et al. 2019), as Hugging Face has
// it.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tokenizer/components.h"
#include "tokenizer/token_ids.h"

namespace ml_worker {

using MergeRules = std::vector<std::pair<std::u32string, std::u32string>>;

struct BpeOptions {
  std::optional<std::u32string> unknown_token;  ///< none: a byte without a token is left out
  bool fuse_unknown = false;                    ///< one unknown token for a run of such bytes
  bool ignore_merges = false;  ///< a word that is a token itself is not put together
};

class Bpe final : public SubwordModel {
 public:
  /// `vocabulary` and `merges` are written in byte_characters(); the first rule goes first.
  /// Throws std::invalid_argument that names a rule's token that is not in the vocabulary.
  Bpe(const VocabularyEntries& vocabulary, const MergeRules& merges, const BpeOptions& options);

  /// Time is n log n in the bytes of the word. Appends nothing if all its bytes are left out.
  void tokenize(std::u32string_view word, std::vector<std::int32_t>& ids) const override;
  /// A part of a character stands for the whole of it.
  void split(std::u32string_view word, std::vector<WordPart>& parts) const override;
  std::int32_t id_of(std::u32string_view token) const override;
  std::size_t vocabulary_size() const override { return vocabulary_size_; }

 private:
  struct Merge {
    std::uint32_t rank;
    std::int32_t id;  ///< of the two together
  };
  class Word;

  void add_merge(const std::pair<std::u32string, std::u32string>& rule, std::uint32_t rank);
  const Merge* find_merge(std::int32_t left, std::int32_t right) const;
  Word initial_symbols(std::string_view bytes) const;
  Word merged(std::string_view bytes) const;
  std::int32_t id_of_whole(std::string_view bytes) const;

  TokenIds ids_;
  std::unordered_map<std::uint64_t, Merge> merges_;
  std::array<std::int32_t, 256> byte_ids_{};  ///< -1: none
  std::int32_t unknown_id_ = -1;
  bool fuse_unknown_;
  bool ignore_merges_;
  std::size_t vocabulary_size_ = 0;
};

}  // namespace ml_worker
