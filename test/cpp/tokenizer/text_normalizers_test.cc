#include "tokenizer/text_normalizers.h"

#include <catch2/catch.hpp>

#include "tokenizer/stage_text.h"

using namespace ml_worker;
using namespace ml_worker::testing;

TEST_CASE("white space is stripped from the sides asked for") {
  CHECK(normalized(StripNormalizer(true, true), U"\t a b\u3000\n") == U"a b");
  CHECK(normalized(StripNormalizer(false, true), U" a ") == U" a");
  CHECK(normalized(StripNormalizer(true, false), U" a ") == U"a ");
  CHECK(normalized(StripNormalizer(true, true), U" \n ") == U"");
  CHECK_FALSE(StripNormalizer(true, false).is_boundary('a', ' '));
  CHECK(StripNormalizer(false, true).is_boundary('a', ' '));
  CHECK_FALSE(StripNormalizer(false, true).is_boundary('\t', ' '));
}

TEST_CASE("lower case is that of each code point") {
  CHECK(normalized(LowercaseNormalizer(), U"Abc \u00c4\u0130 \u03a3\u1e9e") ==
        U"abc \u00e4i\u0307 \u03c3\u00df");
  CHECK(LowercaseNormalizer().is_boundary('A', 'b'));
  CHECK(LowercaseNormalizer().has_lowercase());
}

TEST_CASE("runs of two blanks and more are replaced") {
  const BlankRunNormalizer normalizer(U"_");
  CHECK(normalized(normalizer, U" a  b   c  ") == U" a_b_c_");
  CHECK(normalized(normalizer, U"\t\t") == U"\t\t");
  CHECK(normalized(normalizer, U"") == U"");
  CHECK_FALSE(normalizer.is_boundary(' ', ' '));
}

TEST_CASE("a sequence works in order, an empty one changes nothing") {
  std::vector<std::unique_ptr<Normalizer>> stages;
  stages.push_back(std::make_unique<StripNormalizer>(false, true));
  stages.push_back(std::make_unique<BlankRunNormalizer>(U" "));
  const NormalizerSequence sequence(std::move(stages));
  CHECK(normalized(sequence, U"a   b   ") == U"a b");
  CHECK(sequence.is_boundary('a', ' '));
  CHECK_FALSE(sequence.is_boundary(' ', ' '));
  CHECK(normalized(NormalizerSequence({}), U" x ") == U" x ");
}
