#include "tokenizer/sentencepiece_model.h"

#include <catch2/catch.hpp>

using namespace ml_worker;
using Catch::Matchers::Contains;

namespace {

/// ModelProto by hand: one piece "ab" of score 1.5, a charsmap, and what `trainer` holds.
std::string model_bytes(const std::string& trainer) {
  const std::string piece = std::string(
      "\x0A\x02"
      "ab\x15\x00\x00\xC0\x3F\x18\x01",
      11);
  const std::string normalizer = std::string("\x0A\x04nmt_\x12\x03map\x18\x01", 13);
  std::string bytes = "\x0A";
  bytes += static_cast<char>(piece.size());
  bytes += piece + "\x12";
  bytes += static_cast<char>(trainer.size());
  bytes += trainer + "\x1A";
  bytes += static_cast<char>(normalizer.size());
  return bytes + normalizer;
}

}  // namespace

TEST_CASE("pieces, scores and charsmap are read, other fields passed over") {
  const auto model =
      read_sentencepiece_model(model_bytes("\x18\x01") + std::string("\x22\x01z", 3));
  REQUIRE(model.pieces.size() == 1);
  CHECK(model.pieces[0].text == "ab");
  CHECK(model.pieces[0].score == 1.5);
  CHECK(model.charsmap == "map");
}

TEST_CASE("what is written is read again") {
  const auto model = read_sentencepiece_model(write_unigram_model({{"\u2581a", -1.25}, {"b", -3}}));
  REQUIRE(model.pieces.size() == 3);
  CHECK(model.pieces[0].text == "\u2581a");
  CHECK(model.pieces[0].score == -1.25);
  CHECK(model.pieces[2].text == std::string(1, '\0'));
  CHECK(model.charsmap.empty());
}

TEST_CASE("models of other kinds are refused by name") {
  CHECK_THROWS_WITH(read_sentencepiece_model(model_bytes("\x18\x02")), Contains("model_type 2"));
  CHECK_THROWS_WITH(read_sentencepiece_model(model_bytes("\x98\x02\x01")),
                    Contains("byte_fallback"));
}

TEST_CASE("a model cut off anywhere, or with wrong bytes, is refused or read, never worse") {
  const std::string whole = model_bytes("\x18\x01");
  std::size_t refused = 0;
  for (std::size_t size = 0; size < whole.size(); ++size) {
    try {
      read_sentencepiece_model(std::string_view(whole).substr(0, size));
    } catch (const std::invalid_argument&) {
      ++refused;
    }
  }
  CHECK(refused > whole.size() - 6);  // it may end between fields
  for (std::size_t i = 0; i < whole.size(); ++i) {
    for (int value = 0; value < 256; ++value) {
      std::string changed = whole;
      changed[i] = static_cast<char>(value);
      try {
        read_sentencepiece_model(changed);
      } catch (const std::invalid_argument&) {
        ++refused;
      }
    }
  }
  CHECK_THROWS_WITH(read_sentencepiece_model(std::string(11, '\xFF')), Contains("ten bytes"));
  CHECK_THROWS_WITH(read_sentencepiece_model("\x0B"), Contains("wire type 3"));
}
