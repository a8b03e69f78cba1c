#include "model/pooling.h"

#include <catch2/catch.hpp>
#include <cmath>

using namespace ml_worker;

namespace {

std::vector<float> pooled(const std::vector<PoolingMode>& modes, const std::vector<float>& tokens,
                          std::size_t hidden, std::size_t unpooled = 0) {
  std::vector<float> vector(modes.size() * hidden);
  pool(modes, tokens, hidden, unpooled, vector);
  return vector;
}

const std::vector<float> kTokens = {1.0F, -4.0F, 2.0F, 8.0F, 6.0F, -1.0F};  // [3, 2]

}  // namespace

TEST_CASE("each mode gives what its formula says") {
  const float root = std::sqrt(3.0F);
  CHECK(pooled({PoolingMode::mean}, kTokens, 2) == std::vector<float>{3.0F, 1.0F});
  CHECK(pooled({PoolingMode::mean_sqrt_len}, kTokens, 2) ==
        std::vector<float>{9.0F / root, 3.0F / root});
  CHECK(pooled({PoolingMode::cls}, kTokens, 2) == std::vector<float>{1.0F, -4.0F});
  CHECK(pooled({PoolingMode::max}, kTokens, 2) == std::vector<float>{6.0F, 8.0F});
  CHECK(pooled({PoolingMode::last_token}, kTokens, 2) == std::vector<float>{6.0F, -1.0F});
  CHECK(pooled({PoolingMode::weighted_mean}, kTokens, 2) ==
        std::vector<float>{23.0F / 6.0F, 9.0F / 6.0F});
}

TEST_CASE("modes stand one after another") {
  CHECK(pooled({PoolingMode::cls, PoolingMode::mean}, kTokens, 2) ==
        std::vector<float>{1.0F, -4.0F, 3.0F, 1.0F});
}

TEST_CASE("a prompt's tokens are left out, and the others keep their places") {
  CHECK(pooled({PoolingMode::mean}, kTokens, 2, 1) == std::vector<float>{4.0F, 3.5F});
  CHECK(pooled({PoolingMode::cls}, kTokens, 2, 1) == std::vector<float>{2.0F, 8.0F});
  CHECK(pooled({PoolingMode::max}, kTokens, 2, 2) == std::vector<float>{6.0F, -1.0F});
  CHECK(pooled({PoolingMode::weighted_mean}, kTokens, 2, 1) ==
        std::vector<float>{22.0F / 5.0F, 13.0F / 5.0F});
}

TEST_CASE("a text that is all prompt gives what sentence-transformers gives") {
  CHECK(pooled({PoolingMode::mean}, kTokens, 2, 3) == std::vector<float>{0.0F, 0.0F});
  CHECK(pooled({PoolingMode::cls}, kTokens, 2, 9) == std::vector<float>{1.0F, -4.0F});
  CHECK(pooled({PoolingMode::last_token}, kTokens, 2, 3) == std::vector<float>{0.0F, 0.0F});
  CHECK(std::isinf(pooled({PoolingMode::max}, kTokens, 2, 3)[0]));
}

TEST_CASE("what is not a number does not disappear") {
  const std::vector<float> tokens = {1.0F, 2.0F, NAN, 1.0F, 5.0F, 3.0F};
  CHECK(std::isnan(pooled({PoolingMode::max}, tokens, 2)[0]));
  CHECK(std::isnan(pooled({PoolingMode::mean}, tokens, 2)[0]));
}

TEST_CASE("modes are known by sentence-transformers' names") {
  CHECK(parse_pooling_mode("mean_sqrt_len_tokens") == PoolingMode::mean_sqrt_len);
  CHECK(parse_pooling_mode("lasttoken") == PoolingMode::last_token);
  CHECK_FALSE(parse_pooling_mode("Mean"));
}

TEST_CASE("a mode's name is the one that it is read from") {
  for (const char* name :
       {"cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"}) {
    CHECK(name_of(*parse_pooling_mode(name)) == name);
  }
  CHECK_FALSE(parse_pooling_mode("median"));
}
