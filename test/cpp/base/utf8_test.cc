#include "ml_worker/utf8.h"

#include <catch2/catch.hpp>

using ml_worker::append_utf8;
using ml_worker::displayable_utf8;
using ml_worker::is_valid_utf8;
using ml_worker::utf8_length;
using std::string_literals::operator""s;

TEST_CASE("every code point that may be written is valid UTF-8, and none else is written") {
  for (std::uint32_t code_point = 0; code_point <= 0x110010; ++code_point) {
    std::string bytes;
    const bool allowed = code_point <= 0x10FFFF && (code_point < 0xD800 || code_point > 0xDFFF);
    const bool appended = append_utf8(code_point, bytes);
    const std::size_t length = allowed ? utf8_length(code_point) : 0;
    if (appended != allowed || is_valid_utf8(bytes) != true || bytes.size() != length) {
      FAIL("code point " << code_point);
    }
  }
}

TEST_CASE("what RFC 3629 forbids is not valid UTF-8") {
  const std::string bad =
      GENERATE(as<std::string>{}, "\x80", "\xC0\x80", "\xC1\xBF", "\xC3", "\xE0\x9F\xBF",
               "\xED\xA0\x80", "\xED\xBF\xBF", "\xE2\x82", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80",
               "\xF5\x80\x80\x80", "\xFF", "abc\xFE", "\xF0\x9F\x98");
  CHECK_FALSE(is_valid_utf8(bad));
  CHECK(is_valid_utf8(displayable_utf8(bad)));
}

TEST_CASE("valid text of every length is accepted, NUL included") {
  CHECK(is_valid_utf8(""));
  CHECK(is_valid_utf8("a\0b"s));
  CHECK(is_valid_utf8("é€😀\xF4\x8F\xBF\xBF"));
}

TEST_CASE("displayable text has no NUL and is cut between code points") {
  CHECK(displayable_utf8("a\0b"s) == "a\xEF\xBF\xBD"s + "b");
  CHECK(displayable_utf8("abc", 3) == "abc");
  CHECK(displayable_utf8("abé", 3) == "ab…");
  CHECK(displayable_utf8("é", 0) == "…");
  CHECK(displayable_utf8("", 0).empty());
}
