#include "model/packing.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <set>

using namespace ml_worker;

TEST_CASE("texts of equal length lie next to each other, in the order given") {
  const std::vector<std::size_t> lengths = {3, 2, 3, 5, 2};
  const Packing packing = pack(lengths);
  CHECK(packing.order == std::vector<std::size_t>{1, 4, 0, 2, 3});
  CHECK(packing.first_tokens == std::vector<std::size_t>{4, 0, 7, 10, 2});
  CHECK(packing.tokens == 15);
  REQUIRE(packing.groups.size() == 3);
  CHECK(packing.groups[0].first_token == 0);
  CHECK(packing.groups[0].texts == 2);
  CHECK(packing.groups[1].first_token == 4);
  CHECK(packing.groups[1].length == 3);
  CHECK(packing.groups[2].first_token == 10);
  CHECK(packing.groups[2].texts == 1);
}

TEST_CASE("rows are few sizes, at most a sixteenth over the tokens") {
  std::set<std::size_t> sizes;
  for (std::size_t tokens = 1; tokens <= 2048; ++tokens) {
    const std::size_t rows = rows_for(tokens);
    sizes.insert(rows);
    CHECK(rows >= tokens);
    CHECK(rows - tokens <= std::max<std::size_t>(tokens / 16, tokens <= 32 ? 1 : 7));
    CHECK(rows_for(rows) == rows);
  }
  CHECK(sizes.size() == 92);
}

TEST_CASE("no texts make an empty packing") {
  const Packing packing = pack({});
  CHECK(packing.tokens == 0);
  CHECK(packing.groups.empty());
}

TEST_CASE("a pair's second text is of type 1, wherever the pair lies") {
  const std::vector<std::int32_t> pair = {1, 7, 2, 8, 2};
  const std::vector<std::int32_t> single = {1, 9, 2};
  std::vector<EncoderInput> inputs = {EncoderInput(pair), EncoderInput(single)};
  inputs[0].second_start = 3;
  const PackedTokens tokens = pack_tokens(inputs);
  CHECK(tokens.ids == std::vector<std::int32_t>{1, 9, 2, 1, 7, 2, 8, 2});
  CHECK(tokens.types == std::vector<std::int32_t>{0, 0, 0, 0, 0, 0, 1, 1});
}
