// A tokenizer put together from its stages.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ml_worker/tokenizer.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/components.h"

namespace ml_worker {

struct PipelineParts {
  std::vector<AddedToken> added_tokens;
  std::unique_ptr<Normalizer> normalizer;
  std::unique_ptr<PreTokenizer> pre_tokenizer;
  std::unique_ptr<SubwordModel> model;
  SequenceTemplate sequence_template;
  std::optional<PairTemplate> pair_template;
  /// The places of tokens leave out blanks at their ends (`trim_offsets`).
  bool trims_blanks = false;
  /// But for one at the beginning of a text, which may not be the text's own.
  bool keeps_first_blank = false;
};

class PipelineTokenizer : public Tokenizer {
 public:
  explicit PipelineTokenizer(PipelineParts parts);
  Tokens encode(std::string_view text, std::size_t max_tokens, TruncationSide side) const override;
  std::vector<Piece> pieces(std::string_view text) const override;
  bool takes_pairs() const override { return pair_template_.has_value(); }
  Tokens encode_pair(std::string_view first, std::string_view second, std::size_t max_tokens,
                     TruncationSide side) const override;
  std::size_t vocabulary_size() const override { return vocabulary_size_; }

 private:
  /// The ids made so far, and how many are too many.
  struct Progress {
    std::vector<std::int32_t> ids;
    std::size_t stop_after;
    bool full() const { return ids.size() > stop_after; }
  };

  Progress encode_until(std::u32string_view text, std::size_t stop_after) const;
  void encode_text(std::u32string_view text, Progress& progress) const;
  void encode_plain(std::u32string_view text, Progress& progress) const;
  std::size_t chunk_length(std::u32string_view text) const;
  bool is_boundary(char32_t before, char32_t after) const;
  void encode_chunk(std::u32string_view chunk, Progress& progress) const;
  void encode_normalized(std::u32string_view text, Progress& progress) const;

  class PieceList;
  void add_match(const AddedTokens::Match& match, std::u32string_view text,
                 std::span<const std::size_t> origin, std::size_t at, PieceList& list) const;
  void plain_pieces(std::u32string_view text, std::size_t at, PieceList& list) const;
  void word_pieces(std::u32string_view text, std::span<const std::size_t> origin, std::size_t at,
                   PieceList& list) const;

  std::size_t vocabulary_size_;
  std::unique_ptr<Normalizer> normalizer_;
  std::unique_ptr<PreTokenizer> pre_tokenizer_;
  std::unique_ptr<SubwordModel> model_;
  SequenceTemplate template_;
  std::optional<PairTemplate> pair_template_;
  std::map<std::int32_t, std::string> added_names_;  ///< by id
  bool trims_blanks_;
  bool keeps_first_blank_;
  AddedTokens raw_tokens_;
  AddedTokens normalized_tokens_;
  /// No normalised token can lie across the end of a word.
  bool tokens_end_at_blanks_;
};

}  // namespace ml_worker
