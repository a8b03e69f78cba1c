#include "tokenizer/pipeline.h"

#include <catch2/catch.hpp>

#include "tokenizer/small_tokenizer.h"

using namespace ml_worker;
using namespace ml_worker::testing;

namespace {

std::string repeated(const std::string& text, std::size_t count) {
  std::string result;
  for (std::size_t i = 0; i < count; ++i) result += text;
  return result;
}

}  // namespace

TEST_CASE("empty and blank texts are the special tokens alone") {
  const auto tokenizer = load(small_tokenizer_json());
  for (const char* text : {"", " ", "\t\r\n", "\x01\x7f", "\u200b", "\uFFFD", "\u00a0\u2028"}) {
    CHECK(ids_of(*tokenizer, text) == Ids{2, 3});
  }
  CHECK(ids_of(*tokenizer, std::string_view("\0", 1)) == Ids{2, 3});
}

TEST_CASE("words split into the longest pieces, or are unknown as a whole") {
  const auto tokenizer = load(small_tokenizer_json());
  CHECK(ids_of(*tokenizer, "unwanted") == Ids{2, 5, 6, 7, 3});
  CHECK(ids_of(*tokenizer, "Hello!! want") == Ids{2, 9, 10, 10, 8, 3});
  CHECK(ids_of(*tokenizer, "unwantedz") == Ids{2, 1, 3});
  CHECK(ids_of(*tokenizer, "CAFE\u0301 caf\u00e9") == Ids{2, 11, 11, 3});
  CHECK(ids_of(*tokenizer, "x\u4e2dx") == Ids{2, 15, 12, 15, 3});
}

TEST_CASE("words over the limit of the model are unknown") {
  const auto tokenizer = load(small_tokenizer_json());
  CHECK(ids_of(*tokenizer, std::string(10, 'x')).size() == 12);
  CHECK(ids_of(*tokenizer, std::string(11, 'x')) == Ids{2, 1, 3});
}

TEST_CASE("added tokens are found in the raw text only") {
  const auto tokenizer = load(small_tokenizer_json());
  CHECK(ids_of(*tokenizer, "[CLS] hello[MASK]hello") == Ids{2, 2, 9, 4, 9, 3});
  CHECK(ids_of(*tokenizer, "[mask]") == Ids{2, 1, 1, 1, 3});
  CHECK(ids_of(*tokenizer, "[[SEP]") == Ids{2, 1, 3, 3});
}

TEST_CASE("a normalised added token is found whatever its case, and across words") {
  auto json = small_tokenizer_json();
  json["added_tokens"].push_back(added_token(17, "Hello Caf\u00e9"));
  json["added_tokens"][5]["normalized"] = true;
  const auto tokenizer = load(json);
  CHECK(ids_of(*tokenizer, "x HELLO cafe\u0301 x") == Ids{2, 15, 17, 15, 3});
}

TEST_CASE("right truncation keeps the start, left truncation the end") {
  const auto tokenizer = load(small_tokenizer_json());
  const std::string text = "un want hello x !";
  CHECK(ids_of(*tokenizer, text, 7) == Ids{2, 5, 8, 9, 15, 10, 3});
  CHECK(ids_of(*tokenizer, text, 5) == Ids{2, 5, 8, 9, 3});
  CHECK(ids_of(*tokenizer, text, 5, TruncationSide::left) == Ids{2, 9, 15, 10, 3});
  CHECK(ids_of(*tokenizer, text, 2) == Ids{2, 3});
  CHECK(ids_of(*tokenizer, text, 2, TruncationSide::left) == Ids{2, 3});
}

TEST_CASE("the number of tokens given is exact unless the text was cut on the right") {
  const auto tokenizer = load(small_tokenizer_json());
  const std::string text = repeated("hello ", 5000);
  const Tokens left = tokenizer->encode(text, 10, TruncationSide::left);
  CHECK(left.given == 5002);
  CHECK_FALSE(left.given_is_lower_bound);
  const Tokens right = tokenizer->encode(text, 10, TruncationSide::right);
  CHECK(right.given == 11);
  CHECK(right.given_is_lower_bound);
  CHECK(right.ids.size() == 10);
  const Tokens whole = tokenizer->encode("hello", 3, TruncationSide::right);
  CHECK(whole.given == 3);
  CHECK_FALSE(whole.given_is_lower_bound);
}

TEST_CASE("long texts, worked on in pieces, give what the whole gives") {
  const auto tokenizer = load(small_tokenizer_json());
  // Words of 7 letters fall on every place of the cut; marks follow the letter before them.
  const std::string text = repeated("unwante\u0301d ", 1001) + repeated("\u4e2d\u0301", 3000);
  const Ids ids = ids_of(*tokenizer, text, 100000);
  REQUIRE(ids.size() == 2 + 3 * 1001 + 3000);
  CHECK(std::count(ids.begin(), ids.end(), 1) == 0);
  CHECK(ids_of(*tokenizer, std::string(100000, 'x')) == Ids{2, 1, 3});
}

TEST_CASE("bytes that are not UTF-8 do no harm") {
  const auto tokenizer = load(small_tokenizer_json());
  CHECK(ids_of(*tokenizer, "hello \xff\xc0\x80 \xe4\xb8") == Ids{2, 9, 3});
}
