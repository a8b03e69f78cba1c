#include "tokenizer/base64.h"

#include <catch2/catch.hpp>
#include <stdexcept>

using ml_worker::decode_base64;

TEST_CASE("base64 of every remainder is decoded") {
  CHECK(decode_base64("") == "");
  CHECK(decode_base64("Zg==") == "f");
  CHECK(decode_base64("Zm8=") == "fo");
  CHECK(decode_base64("Zm9v") == "foo");
  CHECK(decode_base64("AP+/") == std::string("\x00\xFF\xBF", 3));
}

TEST_CASE("what is no base64 is refused") {
  CHECK_THROWS_AS(decode_base64("Zg"), std::invalid_argument);
  CHECK_THROWS_AS(decode_base64("Z\n=="), std::invalid_argument);
  CHECK_THROWS_AS(decode_base64("===="), std::invalid_argument);
  CHECK_THROWS_AS(decode_base64("Z=9v"), std::invalid_argument);
}
