#include "tokenizer/metaspace.h"

#include <catch2/catch.hpp>

#include "tokenizer/stage_text.h"

using namespace ml_worker;
using namespace ml_worker::testing;
using Words = std::vector<std::u32string>;

TEST_CASE("after WhitespaceSplit each word begins with one sign") {
  const MetaspacePreTokenizer pre_tokenizer({});
  CHECK(words_of(pre_tokenizer, U"  a\tb \u3000\u2581c ") ==
        Words{U"\u2581a", U"\u2581b", U"\u2581c"});
  CHECK(words_of(pre_tokenizer, U"a\u2581b\u2581") == Words{U"\u2581a", U"\u2581b", U"\u2581"});
  CHECK(words_of(pre_tokenizer, U" \n ").empty());
  CHECK(words_of(pre_tokenizer, U"").empty());
}

TEST_CASE("without a prefix words stay apart") {
  MetaspaceOptions options;
  options.prepend = false;
  CHECK(words_of(MetaspacePreTokenizer(options), U"a b") == Words{U"a", U"b"});
}

TEST_CASE("alone each blank is a sign") {
  MetaspaceOptions options;
  options.whitespace_split = false;
  const MetaspacePreTokenizer pre_tokenizer(options);
  CHECK(words_of(pre_tokenizer, U"a  b\tc") == Words{U"\u2581a", U"\u2581", U"\u2581b\tc"});
  CHECK(words_of(pre_tokenizer, U" a") == Words{U"\u2581a"});
  CHECK(words_of(pre_tokenizer, U"").empty());
  CHECK(pre_tokenizer.is_boundary('a', ' '));
  CHECK_FALSE(pre_tokenizer.is_boundary(' ', ' '));
  CHECK_FALSE(pre_tokenizer.is_boundary('a', 'b'));
}

TEST_CASE("without splitting all of a text is one word") {
  MetaspaceOptions options;
  options.whitespace_split = false;
  options.split = false;
  const MetaspacePreTokenizer pre_tokenizer(options);
  CHECK(words_of(pre_tokenizer, U"a b") == Words{U"\u2581a\u2581b"});
  CHECK_FALSE(pre_tokenizer.is_boundary('a', ' '));
}
