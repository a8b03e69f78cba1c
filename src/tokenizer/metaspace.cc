#include "tokenizer/metaspace.h"

#include <algorithm>

#include "tokenizer/unicode.h"

namespace ml_worker {

void MetaspacePreTokenizer::append_word(std::u32string_view word, std::u32string& out) const {
  const auto sign = [this](char32_t c) { return c == ' ' ? options_.replacement : c; };
  if (options_.prepend && sign(word[0]) != options_.replacement) out += options_.replacement;
  std::transform(word.begin(), word.end(), std::back_inserter(out), sign);
}

std::u32string_view MetaspacePreTokenizer::prepare(std::u32string_view text,
                                                   std::u32string& storage) const {
  storage.clear();
  if (!options_.whitespace_split) {
    if (!text.empty()) append_word(text, storage);
    return storage;
  }
  // A blank is left between words: none is in them.
  while (!text.empty()) {
    const auto end = std::find_if(text.begin(), text.end(), unicode::is_white_space);
    const auto length = static_cast<std::size_t>(end - text.begin());
    if (length > 0) append_word(text.substr(0, length), storage);
    storage += U' ';
    text.remove_prefix(std::min(length + 1, text.size()));
  }
  return storage;
}

void MetaspacePreTokenizer::prepare_aligned(std::u32string_view text, AlignedText& out) const {
  std::u32string prepared;
  out.text = prepare(text, prepared);
  // A sign that stands before a word without being one of its characters is the only addition.
  std::size_t at = 0;
  for (const char32_t c : out.text) {
    out.origin.push_back(std::min(at, text.size() - 1));
    const bool is_added =
        c == options_.replacement && at < text.size() && text[at] != c && text[at] != U' ';
    if (!is_added) ++at;
  }
}

void MetaspacePreTokenizer::split(std::u32string_view text,
                                  std::vector<std::u32string_view>& words) const {
  std::size_t start = 0;
  const auto end_word = [&](std::size_t end) {
    if (end > start) words.push_back(text.substr(start, end - start));
    start = end;
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == ' ') {
      end_word(i);
      start = i + 1;
    } else if (options_.split && text[i] == options_.replacement) {
      end_word(i);
    }
  }
  end_word(text.size());
}

bool MetaspacePreTokenizer::is_boundary(char32_t before, char32_t after) const {
  return after == ' ' && !unicode::is_white_space(before) &&
         (options_.split || options_.whitespace_split);
}

}  // namespace ml_worker
