#include "tokenizer/byte_level.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <set>

#include "tokenizer/stage_text.h"

using namespace ml_worker;
using namespace ml_worker::testing;
using Words = std::vector<std::u32string>;

namespace {

Words split(std::u32string_view text) { return words_of(ByteLevelPreTokenizer(false), text); }

}  // namespace

TEST_CASE("words take one blank before them") {
  CHECK(split(U"Hello world") == Words{U"Hello", U" world"});
  CHECK(split(U"a  b") == Words{U"a", U" ", U" b"});
  CHECK(split(U"a   ") == Words{U"a", U"   "});
  CHECK(split(U"a\n\nb") == Words{U"a", U"\n", U"\n", U"b"});
  CHECK(split(U"a\u3000b") == Words{U"a", U"\u3000", U"b"});
  CHECK(split(U"").empty());
}

TEST_CASE("letters, numbers and the rest are apart") {
  CHECK(split(U"ab12!?c") == Words{U"ab", U"12", U"!?", U"c"});
  CHECK(split(U" 1 $") == Words{U" 1", U" $"});
  CHECK(split(U"\u00E9\u4E2D\u00BD\u0301") == Words{U"\u00E9\u4E2D", U"\u00BD", U"\u0301"});
  // Younger than ICU's tables: CJK extension I, Garay digits.
  CHECK(split(U"a\U0002EBF0") == Words{U"a\U0002EBF0"});
  CHECK(split(U"1\U00010D40") == Words{U"1\U00010D40"});
}

TEST_CASE("English endings are words") {
  CHECK(split(U"we're I'll") == Words{U"we", U"'re", U" I", U"'ll"});
  CHECK(split(U"'tis") == Words{U"'t", U"is"});
  CHECK(split(U" 's") == Words{U" '", U"s"});
  CHECK(split(U"X'S") == Words{U"X", U"'", U"S"});
}

TEST_CASE("the prefix blank is added where none is") {
  const ByteLevelPreTokenizer with_prefix(true);
  CHECK(words_of(with_prefix, U"a") == Words{U" a"});
  CHECK(words_of(with_prefix, U" a") == Words{U" a"});
  CHECK(words_of(with_prefix, U"\ta") == Words{U" ", U"\t", U"a"});
  CHECK(words_of(with_prefix, U"").empty());
}

TEST_CASE("each byte has a character of its own") {
  const auto& characters = byte_characters();
  CHECK(std::set<char32_t>(characters.begin(), characters.end()).size() == 256);
  CHECK(characters['a'] == U'a');
  CHECK(characters[' '] == U'\u0120');
  CHECK(characters[0] == U'\u0100');
  CHECK(characters[0xAD] == U'\u0143');
  CHECK(characters[0xFF] == U'\u00FF');
}
