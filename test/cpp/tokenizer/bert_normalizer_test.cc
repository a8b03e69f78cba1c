#include "tokenizer/bert_normalizer.h"

#include <catch2/catch.hpp>

using namespace ml_worker;

namespace {

std::u32string normalize(const BertNormalizerOptions& options, std::u32string_view text) {
  std::u32string out;
  BertNormalizer(options).normalize(text, out);
  return out;
}

}  // namespace

TEST_CASE("controls go, white space becomes blanks") {
  CHECK(normalize({}, U"a\u0001b\u200dc\u0085d") == U"abcd");
  CHECK(normalize({}, U"a\tb\u2028c\u3000d\n") == U"a b c d ");
  BertNormalizerOptions raw;
  raw.clean_text = false;
  CHECK(normalize(raw, U"a\u0001\tb") == U"a\u0001\tb");
}

TEST_CASE("accents go with the case unless it is said otherwise") {
  CHECK(normalize({}, U"\u00c9a\u0323\u0301") == U"ea");
  BertNormalizerOptions cased;
  cased.lowercase = false;
  CHECK(normalize(cased, U"\u00c9") == U"\u00c9");
  cased.strip_accents = true;
  CHECK(normalize(cased, U"\u00c9") == U"E");
  BertNormalizerOptions accented;
  accented.strip_accents = false;
  CHECK(normalize(accented, U"\u00c9\u0130") == U"\u00e9i\u0307");
}

TEST_CASE("marks that are kept stand in canonical order") {
  // U+302E (class 224) and U+1D165 (class 216) are spacing marks: they stay, in order.
  CHECK(normalize({}, U"a\u302e\U0001d165") == U"a\U0001d165\u302e");
  CHECK(normalize({}, U"\ud55c") == U"\u1112\u1161\u11ab");
}

TEST_CASE("characters younger than Unicode 8 are neither marks nor controls") {
  CHECK(normalize({}, U"a\u0898b") == U"a\u0898b");
  CHECK(normalize({}, U"\U0010ffff") == U"\U0010ffff");
}

TEST_CASE("ideographs stand between blanks") {
  CHECK(normalize({}, U"a\u4e2db") == U"a \u4e2d b");
  BertNormalizerOptions together;
  together.handle_chinese_chars = false;
  CHECK(normalize(together, U"a\u4e2db") == U"a\u4e2db");
}
