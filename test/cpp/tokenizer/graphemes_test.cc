#include "tokenizer/graphemes.h"

#include <catch2/catch.hpp>

using ml_worker::unicode::grapheme_length;
using ml_worker::unicode::takes_next;

TEST_CASE("a cluster takes its marks, and what a prefix needs") {
  CHECK(grapheme_length(U"ab") == 1);
  CHECK(grapheme_length(U"e\u0301\u0302x") == 3);
  CHECK(grapheme_length(U"\u0600e\u0301x") == 3);
  CHECK(grapheme_length(U"\u0915\u093Fx") == 2);
  CHECK(grapheme_length(U"\u1100\u1161\u11A8\u1100") == 3);
  CHECK(grapheme_length(U"\uAC00\u11A8x") == 2);
  CHECK(takes_next(0x600));
  CHECK_FALSE(takes_next('a'));
}

TEST_CASE("controls stand alone, but for CR LF") {
  CHECK(grapheme_length(U"\r\n\n") == 2);
  CHECK(grapheme_length(U"\n\u0301") == 1);
  CHECK(grapheme_length(U"\r\u0301") == 1);
  CHECK(grapheme_length(U"\n\r") == 1);
}

TEST_CASE("marks younger than ICU's tables count") {
  CHECK(grapheme_length(U"a\u0897") == 2);
  CHECK(grapheme_length(U"a\U00011B60") == 2);
  CHECK(grapheme_length(U"\U00011A3Ae\u0301") == 1);
}
