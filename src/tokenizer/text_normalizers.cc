#include "tokenizer/text_normalizers.h"

#include <algorithm>
#include <utility>

#include "tokenizer/unicode.h"

namespace ml_worker {

NormalizerSequence::NormalizerSequence(std::vector<std::unique_ptr<Normalizer>> normalizers)
    : normalizers_(std::move(normalizers)) {}

void NormalizerSequence::normalize(std::u32string_view text, std::u32string& out) const {
  std::u32string current(text);
  for (const auto& normalizer : normalizers_) {
    std::u32string next;
    next.reserve(current.size());
    normalizer->normalize(current, next);
    current.swap(next);
  }
  out += current;
}

bool NormalizerSequence::is_boundary(char32_t before, char32_t after) const {
  return std::all_of(normalizers_.begin(), normalizers_.end(), [&](const auto& normalizer) {
    return normalizer->is_boundary(before, after);
  });
}

bool NormalizerSequence::has_lowercase() const {
  return std::any_of(normalizers_.begin(), normalizers_.end(),
                     [](const auto& normalizer) { return normalizer->has_lowercase(); });
}

void LowercaseNormalizer::normalize(std::u32string_view text, std::u32string& out) const {
  for (const char32_t c : text) unicode::append_lower(c, out);
}

void StripNormalizer::normalize(std::u32string_view text, std::u32string& out) const {
  while (left_ && !text.empty() && unicode::is_white_space(text.front())) text.remove_prefix(1);
  while (right_ && !text.empty() && unicode::is_white_space(text.back())) text.remove_suffix(1);
  out += text;
}

bool StripNormalizer::is_boundary(char32_t before, char32_t /*after*/) const {
  return !left_ && !unicode::is_white_space(before);
}

void BlankRunNormalizer::normalize(std::u32string_view text, std::u32string& out) const {
  while (!text.empty()) {
    const std::size_t run = std::min(text.find_first_not_of(U' '), text.size());
    if (run >= 2) {
      out += replacement_;
    } else {
      out.append(run, U' ');
    }
    text.remove_prefix(run);
    const std::size_t rest = std::min(text.find(U' '), text.size());
    out += text.substr(0, rest);
    text.remove_prefix(rest);
  }
}

bool BlankRunNormalizer::is_boundary(char32_t before, char32_t /*after*/) const {
  return before != ' ';
}

}  // namespace ml_worker
