#include "tokenizer/unicode_normalizer.h"

#include <catch2/catch.hpp>

#include "tokenizer/stage_text.h"

using namespace ml_worker;
using namespace ml_worker::testing;

TEST_CASE("each form is the one of Unicode") {
  const std::u32string text = U"e\u0301 \uFB01 \u212B \U0001D15E";
  CHECK(normalized(UnicodeNormalizer(NormalizationForm::nfc), text) ==
        U"\u00E9 \uFB01 \u00C5 \U0001D157\U0001D165");
  CHECK(normalized(UnicodeNormalizer(NormalizationForm::nfd), U"\u00E9") == U"e\u0301");
  CHECK(normalized(UnicodeNormalizer(NormalizationForm::nfkc), U"e\u0301\uFB01") == U"\u00E9fi");
  CHECK(normalized(UnicodeNormalizer(NormalizationForm::nfkd), U"\u00E9\uFB01") == U"e\u0301fi");
  CHECK(normalized(UnicodeNormalizer(NormalizationForm::nfc), U"plain") == U"plain");
}

TEST_CASE("characters younger than Unicode 9.0 stay as they are") {
  const UnicodeNormalizer nfkc(NormalizationForm::nfkc);
  CHECK(normalized(nfkc, U"\u32FF") == U"\u32FF");  // Reiwa, Unicode 12.1
  CHECK(normalized(nfkc, U"\u337B") == U"\u5E73\u6210");
}
