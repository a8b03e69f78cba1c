#include "tokenizer/charsmap.h"

#include <catch2/catch.hpp>
#include <stdexcept>

#include "tokenizer/charsmap_bytes.h"
#include "tokenizer/stage_text.h"

using namespace ml_worker;
using namespace ml_worker::testing;
using Catch::Matchers::Contains;

TEST_CASE("keys are replaced, other text stays") {
  const CharsmapNormalizer normalizer(charsmap_bytes({{'a', "<\u00E9>"}, {'\t', " "}, {'x', ""}}));
  CHECK(normalized(normalizer, U"bab\tx\u4E2D") == U"b<\u00E9>b \u4E2D");
  CHECK(normalized(normalizer, U"") == U"");
}

TEST_CASE("a short cluster that begins with a key loses its marks, a long one does not") {
  const CharsmapNormalizer normalizer(charsmap_bytes({{'a', "b"}, {'\r', " "}}));
  CHECK(normalized(normalizer, U"a\u0301!") == U"b!");
  CHECK(normalized(normalizer, U"a\u0301\u0302!") == U"b!");
  CHECK(normalized(normalizer, U"a\u0301\u0302\u0303!") == U"b\u0301\u0302\u0303!");
  CHECK(normalized(normalizer, U"\r\n") == U" ");
}

TEST_CASE("a text is cut only where nothing can be replaced across") {
  const CharsmapNormalizer normalizer(charsmap_bytes({{'a', "b"}}));
  CHECK(normalizer.is_boundary('c', ' '));
  CHECK(normalizer.is_boundary(0x4E2D, ' '));
  CHECK_FALSE(normalizer.is_boundary('a', ' '));
  CHECK_FALSE(normalizer.is_boundary(' ', ' '));
  CHECK_FALSE(normalizer.is_boundary(0x301, ' '));
  CHECK_FALSE(normalizer.is_boundary(0x600, ' '));
  CHECK_FALSE(normalizer.is_boundary('c', 'c'));
}

TEST_CASE("a broken charsmap is refused") {
  CHECK_THROWS_WITH(CharsmapNormalizer("abc"), Contains("header"));
  CHECK_THROWS_WITH(CharsmapNormalizer(std::string("\x08\0\0\0abcd", 8)), Contains("trie"));
  CHECK_THROWS_WITH(CharsmapNormalizer(std::string("\x03\0\0\0abcd", 8)), Contains("trie"));
  CHECK_THROWS_WITH(CharsmapNormalizer(std::string("\0\0\0\0\xFF", 5)), Contains("UTF-8"));
}

TEST_CASE("offsets out of a hostile trie lead nowhere") {
  std::string bytes = charsmap_bytes({{'a', "b"}, {'c', "d"}});
  const std::size_t node = 4 + 4 * (256U ^ 'a');
  SECTION("a node outside") {
    for (std::size_t i = 0; i < 4; ++i) bytes[4 + i] = '\xFF';
    CHECK(normalized(CharsmapNormalizer(bytes), U"ac") == U"ac");
  }
  SECTION("a leaf outside") {
    for (std::size_t i = 1; i < 4; ++i) bytes[node + i] = '\x7F';
    CHECK(normalized(CharsmapNormalizer(bytes), U"ac") == U"ad");
  }
  SECTION("a replacement outside") {
    for (std::size_t i = 0; i < 4; ++i) bytes[4 + 4 * 512 + i] = '\x7F';
    CHECK(normalized(CharsmapNormalizer(bytes), U"ac") == U"ad");
  }
  SECTION("no trie") {
    CHECK(normalized(CharsmapNormalizer(std::string(4, '\0')), U"ac") == U"ac");
  }
}
