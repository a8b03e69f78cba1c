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

void NormalizerSequence::normalize_aligned(std::u32string_view text, AlignedText& out) const {
  AlignedText current;
  current.append(text, 0);
  for (const auto& normalizer : normalizers_) {
    AlignedText next;
    normalizer->normalize_aligned(current.text, next);
    for (std::size_t& origin : next.origin) origin = current.origin[origin];
    current = std::move(next);
  }
  out.text += current.text;
  out.origin.insert(out.origin.end(), current.origin.begin(), current.origin.end());
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

std::u32string_view StripNormalizer::stripped(std::u32string_view text) const {
  while (left_ && !text.empty() && unicode::is_white_space(text.front())) text.remove_prefix(1);
  while (right_ && !text.empty() && unicode::is_white_space(text.back())) text.remove_suffix(1);
  return text;
}

void StripNormalizer::normalize(std::u32string_view text, std::u32string& out) const {
  out += stripped(text);
}

void StripNormalizer::normalize_aligned(std::u32string_view text, AlignedText& out) const {
  const std::u32string_view kept = stripped(text);
  out.append(kept, static_cast<std::size_t>(kept.data() - text.data()));
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

void BlankRunNormalizer::normalize_aligned(std::u32string_view text, AlignedText& out) const {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = segment_length(text.substr(at));
    if (length >= 2) {
      out.text += replacement_;
      out.origin.resize(out.text.size(), at + length - 1);
    } else {
      out.append(text.substr(at, 1), at);
    }
    at += length;
  }
}

std::size_t BlankRunNormalizer::segment_length(std::u32string_view text) const {
  return std::max<std::size_t>(1, std::min(text.find_first_not_of(U' '), text.size()));
}

bool BlankRunNormalizer::is_boundary(char32_t before, char32_t /*after*/) const {
  return before != ' ';
}

}  // namespace ml_worker
