// The stages of a tokenizer, in the order of Hugging Face's: added tokens are taken out of the
// text, each rest is normalised, split into words, each word becomes ids, a template goes round.
//
// All stages work on code points and are immutable.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ml_worker {

/// A text as a stage leaves it, and of each code point the place of what it came from in the text
/// before that stage. What a stage puts in addition has the place of its neighbour.
struct AlignedText {
  std::u32string text;
  std::vector<std::size_t> origin;

  void append(std::u32string_view code_points, std::size_t first_origin);  ///< as they were
};

/// A token, and which code points of its word it stands for: [begin, end).
struct WordPart {
  std::int32_t id;
  std::size_t begin;
  std::size_t end;
};

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  /// Appends the normal form of `text`.
  virtual void normalize(std::u32string_view text, std::u32string& out) const = 0;
  /// As normalize(), with the places in `text`; slower.
  virtual void normalize_aligned(std::u32string_view text, AlignedText& out) const;
  /// How much of the beginning of `text` (not empty) is normalised for itself, whatever follows.
  virtual std::size_t segment_length(std::u32string_view text) const = 0;
  /// True if a text may be cut between these two: the parts, normalised and split into words one
  /// by one, give what the whole gives.
  virtual bool is_boundary(char32_t before, char32_t after) const = 0;
  /// True if this is the stage "Lowercase", or has it among its stages.
  virtual bool has_lowercase() const { return false; }
};

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  /// What is split in place of `text` (a prefix goes before it …): `text` itself, or `storage`.
  virtual std::u32string_view prepare(std::u32string_view text, std::u32string& /*storage*/) const {
    return text;
  }
  /// As prepare(), with the places in `text`.
  virtual void prepare_aligned(std::u32string_view text, AlignedText& out) const {
    out.append(text, 0);
  }
  /// Appends the words of `text`, as views of it.
  virtual void split(std::u32string_view text, std::vector<std::u32string_view>& words) const = 0;
  /// As Normalizer::is_boundary().
  virtual bool is_boundary(char32_t /*before*/, char32_t /*after*/) const { return true; }
};

class SubwordModel {
 public:
  virtual ~SubwordModel() = default;
  /// Appends the ids of one word.
  virtual void tokenize(std::u32string_view word, std::vector<std::int32_t>& ids) const = 0;
  /// As tokenize(), with the places in `word`.
  virtual void split(std::u32string_view word, std::vector<WordPart>& parts) const = 0;
  /// The id of exactly this token, or -1.
  virtual std::int32_t id_of(std::u32string_view token) const = 0;
  /// Highest id + 1.
  virtual std::size_t vocabulary_size() const = 0;
};

/// What the post-processor puts round the ids of a text.
struct SequenceTemplate {
  std::vector<std::int32_t> before;
  std::vector<std::int32_t> after;
};

/// And round those of two texts.
struct PairTemplate {
  std::vector<std::int32_t> before;
  std::vector<std::int32_t> between;
  std::vector<std::int32_t> after;
  /// How many tokens of `between` have type 0, as all before them; the rest has type 1. None: all
  /// tokens have type 0.
  std::optional<std::size_t> first_types;
};

/// `[CLS] A [SEP] B [SEP]` with types, as BERT has it.
PairTemplate bert_pair(std::int32_t cls, std::int32_t sep);
/// `<s> A </s></s> B </s>` of one type, as RoBERTa has it.
PairTemplate roberta_pair(std::int32_t bos, std::int32_t eos);

}  // namespace ml_worker
