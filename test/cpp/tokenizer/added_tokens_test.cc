#include "tokenizer/added_tokens.h"

#include <catch2/catch.hpp>

using namespace ml_worker;

namespace {

AddedToken token(std::u32string content, std::int32_t id) {
  AddedToken result;
  result.content = std::move(content);
  result.id = id;
  return result;
}

struct Expected {
  std::size_t begin;
  std::size_t end;
  std::int32_t id;
};

void check(const AddedTokens::Match& match, Expected expected) {
  CHECK(match.begin == expected.begin);
  CHECK(match.end == expected.end);
  CHECK(match.id == expected.id);
}

}  // namespace

TEST_CASE("the leftmost match counts, and of those the longest") {
  const AddedTokens tokens({token(U"ab", 1), token(U"abcd", 2), token(U"bc", 3)});
  check(tokens.next(U"xabcd", 0), {1, 5, 2});
  check(tokens.next(U"xabce", 0), {1, 3, 1});
  check(tokens.next(U"xabce", 2), {2, 4, 3});
  check(tokens.next(U"xyz", 0), {3, 3, -1});
}

TEST_CASE("lstrip and rstrip take the white space along") {
  AddedToken both = token(U"<m>", 1);
  both.lstrip = true;
  both.rstrip = true;
  const AddedTokens tokens({both});
  check(tokens.next(U"a \u00a0<m>\t b", 0), {1, 8, 1});
  check(tokens.next(U"   <m>", 2), {2, 6, 1});
}

TEST_CASE("a token that must be a word of its own is not found inside one") {
  AddedToken word = token(U"day", 1);
  word.single_word = true;
  const AddedTokens tokens({word});
  check(tokens.next(U"monday days", 0), {11, 11, -1});
  check(tokens.next(U"monday day!", 0), {7, 10, 1});
}

TEST_CASE("an empty token is never found") {
  const AddedTokens tokens({token(U"", 1)});
  CHECK(tokens.empty());
  check(tokens.next(U"abc", 0), {3, 3, -1});
}
