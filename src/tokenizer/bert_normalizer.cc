#include "tokenizer/bert_normalizer.h"

#include <algorithm>

#include "tokenizer/unicode.h"

namespace ml_worker {

/// Where one normalize() writes to.
class BertNormalizer::Run {
 public:
  Run(std::u32string& out, bool lowercase) : out_(out), lowercase_(lowercase) {
    marks_ = out.size();
  }

  void put(char32_t c) {
    if (!lowercase_) {
      out_.push_back(c);
    } else if (c < 0x80) {
      out_.push_back(c >= 'A' && c <= 'Z' ? c + 0x20 : c);
    } else {
      unicode::append_lower(c, out_);
    }
    marks_ = out_.size();
  }

  void put_decomposed(char32_t c) {
    parts_.clear();
    unicode::decompose(c, parts_);
    for (const char32_t part : parts_) put_part(part);
  }

 private:
  /// Drops Mn. Canonical ordering is what a mark that is kept still needs; a starter ends the run
  /// of marks even if it is dropped itself.
  void put_part(char32_t c) {
    const int order = unicode::combining_class(c);
    const bool kept = !unicode::is_nonspacing_mark(c);
    if (order == 0) {
      if (kept) put(c);
      marks_ = out_.size();
    } else if (kept) {
      const auto after = [](int value, char32_t other) {
        return value < unicode::combining_class(other);
      };
      const auto marks = out_.begin() + static_cast<std::ptrdiff_t>(marks_);
      out_.insert(std::upper_bound(marks, out_.end(), order, after), c);
    }
  }

  std::u32string& out_;
  bool lowercase_;
  std::size_t marks_;  ///< where the marks at the end of out_ begin
  std::u32string parts_;
};

BertNormalizer::BertNormalizer(const BertNormalizerOptions& options)
    : clean_text_(options.clean_text),
      handle_chinese_chars_(options.handle_chinese_chars),
      strip_accents_(options.strip_accents.value_or(options.lowercase)),
      lowercase_(options.lowercase) {}

void BertNormalizer::normalize(std::u32string_view text, std::u32string& out) const {
  Run run(out, lowercase_);
  for (const char32_t c : text) add(c, run);
}

void BertNormalizer::add(char32_t c, Run& run) const {
  if (clean_text_) {
    if (c == 0 || c == 0xFFFD || unicode::is_control(c)) return;
    if (unicode::is_white_space(c)) c = ' ';
  }
  const bool padded = handle_chinese_chars_ && unicode::is_cjk_ideograph(c);
  if (padded) run.put(' ');
  if (strip_accents_ && c >= 0x80) {
    run.put_decomposed(c);
  } else {
    run.put(c);
  }
  if (padded) run.put(' ');
}

std::size_t BertNormalizer::segment_length(std::u32string_view text) const {
  // Only marks that are kept change places with each other.
  const auto is_kept_mark = [](char32_t c) {
    return c >= 0x80 && unicode::combining_class(c) != 0 && !unicode::is_nonspacing_mark(c);
  };
  const auto end = std::find_if_not(text.begin(), text.end(), is_kept_mark);
  return std::max<std::size_t>(1, static_cast<std::size_t>(end - text.begin()));
}

bool BertNormalizer::is_boundary(char32_t /*before*/, char32_t after) const {
  return after == ' ' || after == '\n' ||
         (handle_chinese_chars_ && unicode::is_cjk_ideograph(after));
}

}  // namespace ml_worker
