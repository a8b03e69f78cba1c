#include "tokenizer/byte_level.h"

#include <algorithm>

#include "tokenizer/unicode.h"

namespace ml_worker {
namespace {

enum class Kind { letter, number, space, other };

Kind kind_of(char32_t c) {
  if (unicode::is_white_space(c)) return Kind::space;
  if (unicode::is_letter(c)) return Kind::letter;
  return unicode::is_number(c) ? Kind::number : Kind::other;
}

/// Length of the English ending that `text` begins with, or 0.
std::size_t contraction_length(std::u32string_view text) {
  static constexpr std::array<std::u32string_view, 7> kEndings = {U"'s", U"'t",  U"'re", U"'ve",
                                                                  U"'m", U"'ll", U"'d"};
  for (const auto ending : kEndings) {
    if (text.starts_with(ending)) return ending.size();
  }
  return 0;
}

/// How many code points from `at` on are of the kind of the one there.
std::size_t run_length(std::u32string_view text, std::size_t at) {
  const Kind kind = kind_of(text[at]);
  std::size_t end = at + 1;
  while (end < text.size() && kind_of(text[end]) == kind) ++end;
  return end - at;
}

/// Of the white space that `text` begins with all but the last one belongs together; the last one
/// too if nothing follows.
std::size_t space_length(std::u32string_view text) {
  const std::size_t run = run_length(text, 0);
  return run == text.size() || run == 1 ? run : run - 1;
}

std::size_t word_length(std::u32string_view text) {
  if (const std::size_t length = contraction_length(text); length > 0) return length;
  if (kind_of(text[0]) != Kind::space) return run_length(text, 0);
  const bool opens_word = text[0] == ' ' && text.size() > 1 && kind_of(text[1]) != Kind::space;
  return opens_word ? 1 + run_length(text, 1) : space_length(text);
}

std::array<char32_t, 256> make_byte_characters() {
  std::array<char32_t, 256> characters{};
  char32_t next = 256;
  for (char32_t byte = 0; byte < 256; ++byte) {
    const bool is_printable =
        (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    characters[byte] = is_printable ? byte : next++;
  }
  return characters;
}

}  // namespace

const std::array<char32_t, 256>& byte_characters() {
  static const std::array<char32_t, 256> characters = make_byte_characters();
  return characters;
}

std::u32string_view ByteLevelPreTokenizer::prepare(std::u32string_view text,
                                                   std::u32string& storage) const {
  if (!add_prefix_space_ || text.empty() || text[0] == ' ') return text;
  storage = U' ';
  storage += text;
  return storage;
}

void ByteLevelPreTokenizer::prepare_aligned(std::u32string_view text, AlignedText& out) const {
  std::u32string storage;
  const bool has_prefix = prepare(text, storage).size() > text.size();
  if (has_prefix) out.append(U" ", 0);
  out.append(text, 0);
}

void ByteLevelPreTokenizer::split(std::u32string_view text,
                                  std::vector<std::u32string_view>& words) const {
  while (!text.empty()) {
    const std::size_t length = word_length(text);
    words.push_back(text.substr(0, length));
    text.remove_prefix(length);
  }
}

bool ByteLevelPreTokenizer::is_boundary(char32_t before, char32_t after) const {
  return after == ' ' && !unicode::is_white_space(before);
}

}  // namespace ml_worker
