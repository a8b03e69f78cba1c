#include "model/pass_shape.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <random>
#include <set>

using namespace ml_worker;

namespace {

using Numbers = std::vector<std::int32_t>;

PassShape shape(std::int64_t tokens, std::int64_t texts, std::int64_t longest) {
  return {tokens, texts, longest};
}

/// Texts of these lengths, with the ids 5, 6, …
struct Texts {
  explicit Texts(const std::vector<std::size_t>& lengths) {
    std::int32_t next = 5;
    for (const std::size_t length : lengths) {
      ids.emplace_back(length);
      for (std::int32_t& id : ids.back()) id = next++;
    }
    const std::vector<EncoderInput> inputs(ids.begin(), ids.end());
    packed = pack_tokens(inputs);
  }
  std::vector<Numbers> ids;
  PackedTokens packed;
};

TransformerConfig absolute_positions() {
  static const Architecture architecture;
  TransformerConfig config;
  config.architecture = &architecture;
  config.positions = 64;
  return config;
}

Numbers part(const Numbers& numbers, std::int64_t first, std::int64_t count) {
  return {numbers.begin() + first, numbers.begin() + first + count};
}

}  // namespace

TEST_CASE("a pass is as large as its texts") {
  CHECK(shape_of(Texts({3, 1, 4}).packed.packing) == shape(8, 3, 4));
  CHECK(shape(8, 3, 4).numbers() == 28);
}

TEST_CASE("the bounds of texts begin at 0 and end behind the last token") {
  CHECK(text_bounds(Texts({3, 1, 4}).packed.packing) == Numbers{0, 1, 4, 8});
  CHECK(text_bounds(pack({})) == Numbers{0});
}

TEST_CASE("buckets of tokens: steps of 16, then eight between powers of two") {
  const auto bucket = [](std::int64_t tokens) { return graph_shape(shape(tokens, 1, 16))->tokens; };
  CHECK(bucket(1) == 16);
  CHECK(bucket(16) == 16);
  CHECK(bucket(17) == 32);
  CHECK(bucket(128) == 128);
  CHECK(bucket(129) == 144);
  CHECK(bucket(257) == 288);
  CHECK(bucket(1000) == 1024);
  CHECK(bucket(1025) == 1152);
  CHECK(bucket(4096) == 4096);
  CHECK_FALSE(graph_shape(shape(4097, 1, 16)));
  CHECK_FALSE(graph_shape(shape(0, 0, 0)));
}

TEST_CASE("any batch fits the shape of its graph, and few shapes serve all") {
  std::set<PassShape> shapes;
  for (std::int64_t tokens = 1; tokens <= 4096; ++tokens) {
    for (const std::int64_t longest : {std::int64_t{1}, std::int64_t{50}, tokens}) {
      if (longest > tokens) continue;
      const std::int64_t texts = (tokens + longest - 1) / longest;
      const auto of_graph = graph_shape(shape(tokens, texts, longest));
      REQUIRE(of_graph);
      const std::int64_t spare = of_graph->tokens - tokens;
      REQUIRE(spare >= 0);
      REQUIRE(spare <= std::max<std::int64_t>(15, tokens / 8));
      REQUIRE(of_graph->longest >= longest);
      REQUIRE((of_graph->texts - texts) * of_graph->longest >= spare);
      shapes.insert(*of_graph);
    }
  }
  CHECK(shapes.size() < 200);
}

TEST_CASE("batches of short texts of mixed lengths come to shapes that are remembered") {
  std::minstd_rand random(1);
  for (const std::int64_t texts : {8, 20, 60}) {
    std::set<PassShape> shapes;
    for (int batch = 0; batch < 2000; ++batch) {
      PassShape exact;
      exact.texts = texts;
      for (std::int64_t i = 0; i < texts; ++i) {
        const auto length = static_cast<std::int64_t>(
            10.0 / std::pow(std::uniform_real_distribution(0.02, 1.0)(random), 0.8));
        exact.tokens += length;
        exact.longest = std::max(exact.longest, length);
      }
      if (const auto of_graph = graph_shape(exact)) shapes.insert(*of_graph);
    }
    INFO(texts << " texts");
    CHECK(shapes.size() > 1);
    CHECK(shapes.size() < 64);
  }
}

TEST_CASE("the numbers of a pass, as it is: ids, rows, places, bounds") {
  const Texts texts({3, 1});
  const Numbers numbers =
      pass_numbers(absolute_positions(), texts.packed, shape_of(texts.packed.packing));
  CHECK(numbers == Numbers{8, 5, 6, 7,  //
                           0, 0, 1, 2,  //
                           0, 0, 1, 2,  //
                           0, 1, 4});
}

TEST_CASE("what a batch leaves free are texts of their own, behind all others") {
  const Texts texts({3, 1});
  const PassShape wide = shape(16, 8, 5);
  const Numbers numbers = pass_numbers(absolute_positions(), texts.packed, wide);
  REQUIRE(numbers.size() == static_cast<std::size_t>(wide.numbers()));
  CHECK(part(numbers, 0, 5) == Numbers{8, 5, 6, 7, 0});
  CHECK(part(numbers, 48, 9) == Numbers{0, 1, 4, 9, 14, 16, 16, 16, 16});
}
