#include "tokenizer/unigram.h"

#include <catch2/catch.hpp>
#include <chrono>
#include <cmath>

#include "tokenizer/stage_text.h"

using namespace ml_worker;
using namespace ml_worker::testing;
using Catch::Matchers::Contains;
using Ids = std::vector<std::int32_t>;

namespace {

/// 3 is the unknown piece; the character d stands only inside a longer piece.
const std::vector<UnigramPiece> kPieces = {{"<s>", 0},     {"<pad>", 0}, {"</s>", 0}, {"<unk>", 0},
                                           {"\u2581", -2}, {"a", -3},    {"b", -3.5}, {"ab", -4},
                                           {"ba", -9},     {"cd", -5},   {"x", -3},   {"xx", -4}};

}  // namespace

TEST_CASE("the most probable segmentation wins") {
  const Unigram model(kPieces, 3);
  CHECK(ids_of_word(model, U"\u2581ab") == Ids{4, 7});
  CHECK(ids_of_word(model, U"ba") == Ids{6, 5});
  CHECK(ids_of_word(model, U"cd") == Ids{9});
  CHECK(ids_of_word(model, U"").empty());
  CHECK(model.vocabulary_size() == 12);
  CHECK(model.id_of(U"ab") == 7);
  CHECK(model.id_of(U"abc") == -1);
}

TEST_CASE("a run of unknown characters is one token") {
  const Unigram model(kPieces, 3);
  CHECK(ids_of_word(model, U"\u4E2D\u6587") == Ids{3});
  CHECK(ids_of_word(model, U"a\u4E2Ddz\u6587b") == Ids{5, 3, 6});
  CHECK(ids_of_word(model, U"dcd") == Ids{3, 9});
  CHECK(ids_of_word(model, std::u32string(1, U'\0')) == Ids{3});
}

TEST_CASE("special pieces are found in text as Hugging Face finds them") {
  const Unigram model(kPieces, 3);
  CHECK(ids_of_word(model, U"<s>a") == Ids{0, 5});
  CHECK(ids_of_word(model, U"a<unk>b") == Ids{5, 3, 6});
}

TEST_CASE("of pieces that tie in any order the shorter goes first") {
  const Unigram model(kPieces, 3);
  CHECK(ids_of_word(model, U"xxx") == Ids{10, 11});
  CHECK(ids_of_word(model, U"axxxxxb") == Ids{5, 10, 11, 11, 6});
}

TEST_CASE("pieces that cannot be are refused") {
  const auto with = [](UnigramPiece piece) {
    auto pieces = kPieces;
    pieces.push_back(std::move(piece));
    Unigram model(pieces, 3);
  };
  CHECK_THROWS_WITH(with({"", 0}), Contains("piece 12: is empty"));
  CHECK_THROWS_WITH(with({"ab", 0}), Contains("ab is already defined"));
  CHECK_THROWS_WITH(with({std::string("a\0b", 3), 0}), Contains("NUL"));
  CHECK_THROWS_WITH(with({"\xFF", 0}), Contains("UTF-8"));
  CHECK_THROWS_WITH(with({"y", NAN}), Contains("score"));
  CHECK_THROWS_WITH(with({"y", -1e300}), Contains("score"));
  CHECK_THROWS_WITH(with({std::string(1025, 'y'), 0}), Contains("longer than"));
  CHECK_THROWS_WITH(Unigram(kPieces, 12), Contains("unk_id"));
  CHECK_THROWS_WITH(Unigram({}, 0), Contains("unk_id"));
}

TEST_CASE("a word of unknown characters does not take quadratic time") {
  const Unigram model(kPieces, 3);
  const auto start = std::chrono::steady_clock::now();
  CHECK(ids_of_word(model, std::u32string(300000, U'\u4E2D')) == Ids{3});
  CHECK(ids_of_word(model, std::u32string(300000, U'd')) == Ids{3});
  CHECK(ids_of_word(model, std::u32string(300001, U'x')).size() == 150001);
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(30));
}
