#include "tokenizer/pipeline.h"

#include <catch2/catch.hpp>

#include "tokenizer/further_tokenizers.h"
#include "tokenizer/small_tokenizer.h"

using namespace ml_worker;
using namespace ml_worker::testing;
using Parts = std::vector<std::string>;

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

TEST_CASE("pieces are the tokens of the whole text with their places") {
  const auto tokenizer = load(small_tokenizer_json());
  for (const char* text : {"", "un want  hello!", "unwantedz x", "CAFE\u0301 caf\u00e9", "x\u4e2dx",
                           "a\u200b[MASK] hello", "[CLS]"}) {
    Ids ids;
    for (const Piece& piece : tokenizer->pieces(text)) ids.push_back(piece.id);
    CHECK(ids == ids_of(*tokenizer, text));
  }
  const auto pieces = tokenizer->pieces("un\u00e9 unwanted");
  REQUIRE(pieces.size() == 6);
  CHECK((pieces[0].id == 2 && pieces[0].special == "[CLS]"));
  CHECK((pieces[1].id == 1 && pieces[1].begin == 0 && pieces[1].end == 4));
  CHECK((pieces[2].id == 5 && pieces[2].begin == 5 && pieces[2].end == 7));
  CHECK((pieces[4].id == 7 && pieces[4].begin == 11 && pieces[4].end == 13));
  CHECK((pieces[5].id == 3 && pieces[5].special == "[SEP]"));
  CHECK_FALSE(pieces[1].special);
}

TEST_CASE("a piece is the part of the text that its token came from") {
  const auto tokenizer = load(small_tokenizer_json());
  CHECK(pieces_of(*tokenizer, "  HELLO!x") == Parts{"<[CLS]>", "HELLO", "!", "x", "<[SEP]>"});
  CHECK(pieces_of(*tokenizer, "x\u4e2d\u0301x") == Parts{"<[CLS]>", "x", "\u4e2d", "x", "<[SEP]>"});
  CHECK(pieces_of(*tokenizer, "cafe\u0301") == Parts{"<[CLS]>", "cafe", "<[SEP]>"});
  CHECK(pieces_of(*tokenizer, "caf\u00e9") == Parts{"<[CLS]>", "caf\u00e9", "<[SEP]>"});
  CHECK(pieces_of(*tokenizer, "hel\u200blo[MASK]") ==
        Parts{"<[CLS]>", "hel\u200blo", "[MASK]", "<[SEP]>"});
}

TEST_CASE("a blank that became a sign is part of a piece, one that was dropped is not") {
  const auto split = load(unigram_json());
  CHECK(pieces_of(*split, "hello  a") == Parts{"<<s>>", "hello", "a", "<</s>>"});
  CHECK(pieces_of(*split, "b\u4e2d\u4e2da") ==
        Parts{"<<s>>", "b", "b", "\u4e2d\u4e2d", "a", "<</s>>"});
  auto json = unigram_json();
  json["pre_tokenizer"] = {
      {"type", "Metaspace"}, {"replacement", "\u2581"}, {"prepend_scheme", "always"}};
  json["post_processor"]["trim_offsets"] = false;
  const auto whole = load(json);
  CHECK(pieces_of(*whole, "hello a") == Parts{"<<s>>", "hello", " a", "<</s>>"});
  CHECK(pieces_of(*whole, "<mask>") == Parts{"<<s>>", "<mask>", "<</s>>"});
}

TEST_CASE("a part of a character stands for all of it, and blanks are trimmed where that is said") {
  auto json = bpe_json();
  const auto trimmed = load(json);
  CHECK(pieces_of(*trimmed, "ab ab") == Parts{"<<s>>", "ab", "ab", "<</s>>"});
  CHECK(pieces_of(*trimmed, "\u00e9b") == Parts{"<<s>>", "\u00e9", "b", "<</s>>"});
  CHECK(pieces_of(*trimmed, "b  ab") == Parts{"<<s>>", "b", "", "ab", "<</s>>"});
  CHECK(pieces_of(*trimmed, "ab  ") == Parts{"<<s>>", "ab", "", "", "<</s>>"});
  json["model"]["merges"].erase(2);
  json["post_processor"]["trim_offsets"] = false;
  const auto plain = load(json);
  CHECK(pieces_of(*plain, "ab ab") == Parts{"<<s>>", "ab", " ab", "<</s>>"});
  CHECK(pieces_of(*plain, "\u00e9b") == Parts{"<<s>>", "\u00e9", "\u00e9", "b", "<</s>>"});
}

TEST_CASE("the pieces of a text of a megabyte cost no more than it has characters") {
  const auto tokenizer = load(small_tokenizer_json());
  CHECK(tokenizer->pieces(repeated("x", std::size_t{1} << 20)).size() == 3);
  CHECK(tokenizer->pieces(repeated("x ", std::size_t{1} << 19)).size() == (1U << 19) + 2);
}
