// Small normalisers of Hugging Face `tokenizers`, and several of them in sequence.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tokenizer/components.h"

namespace ml_worker {

/// Normalizers one after the other; none of them: the text stays as it is.
class NormalizerSequence : public Normalizer {
 public:
  explicit NormalizerSequence(std::vector<std::unique_ptr<Normalizer>> normalizers);
  void normalize(std::u32string_view text, std::u32string& out) const override;
  void normalize_aligned(std::u32string_view text, AlignedText& out) const override;
  /// Of several the whole: each has segments of its own.
  std::size_t segment_length(std::u32string_view text) const override { return text.size(); }
  bool is_boundary(char32_t before, char32_t after) const override;
  bool has_lowercase() const override;

 private:
  std::vector<std::unique_ptr<Normalizer>> normalizers_;
};

/// Lower case, code point by code point.
class LowercaseNormalizer : public Normalizer {
 public:
  void normalize(std::u32string_view text, std::u32string& out) const override;
  std::size_t segment_length(std::u32string_view /*text*/) const override { return 1; }
  bool is_boundary(char32_t /*before*/, char32_t /*after*/) const override { return true; }
  bool has_lowercase() const override { return true; }
};

/// Takes white space from the ends.
class StripNormalizer : public Normalizer {
 public:
  StripNormalizer(bool left, bool right) : left_(left), right_(right) {}
  void normalize(std::u32string_view text, std::u32string& out) const override;
  void normalize_aligned(std::u32string_view text, AlignedText& out) const override;
  std::size_t segment_length(std::u32string_view text) const override { return text.size(); }
  bool is_boundary(char32_t before, char32_t after) const override;

 private:
  std::u32string_view stripped(std::u32string_view text) const;

  bool left_;
  bool right_;
};

/// Replaces each run of two or more blanks (the regular expression " {2,}").
class BlankRunNormalizer : public Normalizer {
 public:
  explicit BlankRunNormalizer(std::u32string replacement) : replacement_(std::move(replacement)) {}
  void normalize(std::u32string_view text, std::u32string& out) const override;
  /// What replaces a run has the place of its last blank, as Hugging Face has it.
  void normalize_aligned(std::u32string_view text, AlignedText& out) const override;
  std::size_t segment_length(std::u32string_view text) const override;
  bool is_boundary(char32_t before, char32_t after) const override;

 private:
  std::u32string replacement_;
};

}  // namespace ml_worker
