#include "tokenizer/components.h"

#include <algorithm>

namespace ml_worker {

void AlignedText::append(std::u32string_view code_points, std::size_t first_origin) {
  text += code_points;
  for (std::size_t i = 0; i < code_points.size(); ++i) origin.push_back(first_origin + i);
}

void Normalizer::normalize_aligned(std::u32string_view text, AlignedText& out) const {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = segment_length(text.substr(at));
    const std::size_t begin = out.text.size();
    normalize(text.substr(at, length), out.text);
    const std::size_t made = out.text.size() - begin;
    // What was put together stands at the beginning of a segment.
    const std::size_t together = length - std::min(length, made);
    for (std::size_t i = 0; i < made; ++i) {
      out.origin.push_back(at + (i == 0 ? 0 : std::min(i + together, length - 1)));
    }
    at += length;
  }
}

PairTemplate bert_pair(std::int32_t cls, std::int32_t sep) { return {{cls}, {sep}, {sep}, 1}; }

PairTemplate roberta_pair(std::int32_t bos, std::int32_t eos) {
  return {{bos}, {eos, eos}, {eos}, std::nullopt};
}

}  // namespace ml_worker
