#include "terms/texts.h"

#include <catch2/catch.hpp>

#include "terms/bytes.h"
#include "terms/errors.h"

namespace ml_worker::terms {
namespace {

using testing::bad_argument;
using testing::bytes;
using Texts = std::vector<std::string>;

const std::string kExpected = "expected a text (a UTF-8 binary or a list of code points), got ";

std::string binary(const std::string& text) {
  return bytes({109, 0, static_cast<int>(text.size() >> 16), static_cast<int>(text.size() >> 8),
                static_cast<int>(text.size())}) +
         text;
}

/// A proper list of encoded elements.
std::string list(const std::vector<std::string>& elements) {
  std::string body = bytes({108, 0, 0, 0, static_cast<int>(elements.size())});
  for (const std::string& element : elements) body += element;
  return body + bytes({106});
}

Result<Texts> texts(const std::string& body, const RequestLimits& limits = {}) {
  const std::string storage = bytes({131}) + body;
  Reader reader(testing::scan_body(storage).value());
  auto result = read_texts(reader, limits);
  if (result) CHECK(reader.at_end());
  return result;
}

Result<PredictInput> input(const std::string& body) {
  const std::string storage = bytes({131}) + body;
  Reader reader(testing::scan_body(storage).value());
  return read_predict_input(reader, {});
}

/// The texts, or the first ones of pairs.
Texts firsts(const Result<PredictInput>& input) {
  Texts texts;
  for (const Input& one : input->inputs) texts.push_back(one.text);
  return texts;
}

std::string wrong(const std::string& body) {
  const auto result = texts(body);
  return result ? "accepted" : bad_argument(result.error());
}

TEST_CASE("binaries and charlists in a list are texts") {
  CHECK(*texts(bytes({106})) == Texts{});
  CHECK(*texts(list({binary("hello"), binary(""), binary("h\xC3\xA9")})) ==
        Texts{"hello", "", "h\xC3\xA9"});
  CHECK(*texts(list({bytes({107, 0, 2, "h\xE9"})})) == Texts{"h\xC3\xA9"});
  CHECK(*texts(list({list({bytes({98, 0, 1, 0xF6, 0x00}), bytes({97, 33})})})) ==
        Texts{"\xF0\x9F\x98\x80!"});
  CHECK(*texts(list({bytes({106})})) == Texts{""});
  CHECK(*texts(list({binary(std::string("a\0b", 3))})) == Texts{std::string("a\0b", 3)});
}

TEST_CASE("a bare text is told to stand in a list") {
  const std::string advice = "; wrap it in a list: [Text]";
  CHECK(wrong(binary("abc")) == "texts: expected a list of texts, got a binary" + advice);
  CHECK(wrong(bytes({107, 0, 3, "abc"})) ==
        "texts: expected a list of texts, got a charlist" + advice);
  CHECK(wrong(list({bytes({98, 0, 0, 0x65, 0xE5})})) ==
        "texts: expected a list of texts, got a charlist" + advice);
}

TEST_CASE("what is no list of texts is named by type") {
  CHECK(wrong(bytes({119, 1, "x"})) == "texts: expected a list of texts, got an atom");
  CHECK(wrong(bytes({116, 0, 0, 0, 0})) == "texts: expected a list of texts, got a map");
  CHECK(wrong(bytes({97, 5})) == "texts: expected a list of texts, got an integer");
  CHECK(wrong(bytes({108, 0, 0, 0, 1}) + binary("a") + binary("b")) ==
        "texts: expected a list of texts, got an improper list");
}

TEST_CASE("a wrong element is named by type and position, never by content") {
  const auto second = [](const std::string& element) {
    return wrong(list({binary("fine"), element}));
  };
  const std::string place = " at position 2";
  CHECK(second(bytes({97, 5})) == "texts: " + kExpected + "an integer" + place);
  CHECK(second(bytes({119, 6, "secret"})) == "texts: " + kExpected + "an atom" + place);
  CHECK(second(bytes({104, 0})) == "texts: " + kExpected + "a tuple" + place);
  CHECK(second(bytes({77, 0, 0, 0, 1, 3, 0xE0})) == "texts: " + kExpected + "a bitstring" + place);
  CHECK(second(binary("\xFF")) == "texts: " + kExpected + "a binary that is not UTF-8" + place);
  CHECK(second(list({binary("iolist")})) ==
        "texts: " + kExpected + "a list with a binary in it" + place);
  CHECK(second(list({bytes({97, 104}), bytes({106})})) ==
        "texts: " + kExpected + "a list with an empty list in it" + place);
  CHECK(second(bytes({108, 0, 0, 0, 1, 97, 104, 97, 105})) ==
        "texts: " + kExpected + "an improper list" + place);
}

TEST_CASE("integers that are no code points make no text") {
  for (const std::string& integer :
       {bytes({98, 0, 0, 0xD8, 0x00}), bytes({98, 0, 0x11, 0, 0}),
        bytes({98, 0xFF, 0xFF, 0xFF, 0xFF}), bytes({110, 9, 0, std::string(9, '\1')})}) {
    CHECK(wrong(list({list({integer})})) ==
          "texts: " + kExpected + "a list with an integer in it that is no code point" +
              " at position 1");
  }
}

template <typename T>
void check_too_large(const Result<T>& result, const std::string& what, std::int64_t got,
                     std::int64_t limit) {
  REQUIRE_FALSE(result);
  CHECK(result.error().kind == ErrorKind::too_large);
  CHECK(testing::atom_part(result.error(), 1) == what);
  CHECK(testing::number_part(result.error(), 2) == got);
  CHECK(testing::number_part(result.error(), 3) == limit);
}

TEST_CASE("limits count bytes of UTF-8, texts and the call") {
  const RequestLimits limits{.text_bytes = 4, .texts = 3, .call_bytes = 8};
  CHECK(texts(list({binary("abcd"), binary("efgh")}), limits));
  check_too_large(texts(list({binary("abcde")}), limits), "text", 5, 4);
  check_too_large(texts(list({bytes({107, 0, 3, "\xE9\xE9\xE9"})}), limits), "text", 6, 4);
  const std::string euro = bytes({98, 0, 0, 0x20, 0xAC});
  check_too_large(texts(list({list({euro, euro, euro, euro})}), limits), "text", 8, 4);
  check_too_large(texts(list({binary(""), binary(""), binary(""), binary("")}), limits), "texts", 4,
                  3);
  check_too_large(texts(list({binary("abc"), binary("abc"), binary("abc")}), limits), "call", 9, 8);
}

TEST_CASE("predict takes a text, a pair, or a list of such") {
  CHECK(input(binary("one"))->single);
  CHECK(firsts(input(binary("one"))) == Texts{"one"});
  CHECK(firsts(input(bytes({107, 0, 3, "abc"}))) == Texts{"abc"});
  CHECK(input(bytes({107, 0, 3, "abc"}))->single);
  CHECK(firsts(input(list({bytes({98, 0, 0, 0x20, 0xAC})}))) == Texts{"\xE2\x82\xAC"});
  CHECK_FALSE(input(bytes({106}))->single);
  CHECK(input(bytes({106}))->inputs.empty());
  CHECK(firsts(input(list({binary("a"), bytes({107, 0, 1, "b"})}))) == Texts{"a", "b"});
  CHECK_FALSE(input(list({binary("a")}))->single);
  const std::string pair = bytes({104, 2}) + binary("a") + bytes({107, 0, 1, "b"});
  const auto one = input(pair);
  REQUIRE(one);
  CHECK(one->single);
  CHECK(one->inputs.front().second == "b");
  const auto mixed = input(list({pair, binary("c")}));
  REQUIRE(mixed);
  CHECK_FALSE(mixed->single);
  CHECK(firsts(mixed) == Texts{"a", "c"});
  CHECK_FALSE(mixed->inputs.back().second);
}

TEST_CASE("predict names what is none of these") {
  CHECK(bad_argument(input(bytes({97, 5})).error()) ==
        "input: expected a text or a list of texts, got an integer");
  CHECK(bad_argument(input(bytes({104, 3}) + binary("a") + binary("b") + binary("c")).error()) ==
        "input: expected a pair {A, B}, got a tuple of 3");
  CHECK(bad_argument(input(list({bytes({104, 2}) + binary("a") + bytes({97, 5})})).error()) ==
        "input: " + kExpected + "an integer at position 1");
  CHECK(bad_argument(input(binary("\xC0\x80")).error()) ==
        "input: " + kExpected + "a binary that is not UTF-8");
}

TEST_CASE("similarity's sides are texts or lists, and the limits are on both") {
  const auto sides = [](const std::string& a, const std::string& b) {
    const std::string storage = bytes({131, 104, 2}) + a + b;
    Reader reader(testing::scan_body(storage).value());
    reader.read_tuple();
    return read_similarity_sides(reader, {.text_bytes = 4, .texts = 3, .call_bytes = 6});
  };
  const auto mixed = sides(binary("a"), list({binary("b"), binary("c")}));
  REQUIRE(mixed);
  CHECK(mixed->first.single);
  CHECK(mixed->first.texts == Texts{"a"});
  CHECK_FALSE(mixed->second.single);
  CHECK(mixed->second.texts == Texts{"b", "c"});
  CHECK_FALSE(sides(bytes({106}), binary("b"))->first.single);
  CHECK(bad_argument(sides(bytes({97, 5}), binary("b")).error()) ==
        "a: expected a text or a list of texts, got an integer");
  CHECK(bad_argument(sides(binary("a"), list({bytes({119, 1, "x"})})).error()) ==
        "b: " + kExpected + "an atom at position 1");
  check_too_large(sides(binary("aaaa"), binary("bbbb")), "call", 8, 6);
}

}  // namespace
}  // namespace ml_worker::terms
