#include "model/device_pooling.h"

#include <ATen/ops/from_blob.h>

#include <catch2/catch.hpp>
#include <cmath>

using namespace ml_worker;

namespace {

constexpr std::size_t kHidden = 3;

at::Tensor view(std::vector<float>& numbers, std::vector<std::int64_t> sizes) {
  return at::from_blob(numbers.data(), sizes, at::kFloat);
}

at::Tensor view(std::vector<std::int32_t>& numbers) {
  return at::from_blob(numbers.data(), {static_cast<std::int64_t>(numbers.size())}, at::kInt);
}

struct Batch {
  Batch() {
    for (const std::size_t length : {4, 1, 7, 2, 4}) ids.emplace_back(length, 1);
    inputs = std::vector<EncoderInput>(ids.begin(), ids.end());
    std::vector<std::size_t> lengths;
    for (const auto& text : ids) lengths.push_back(text.size());
    packing = pack(lengths);
    for (std::size_t i = 0; i < packing.tokens * kHidden; ++i) {
      states.push_back(static_cast<float>(std::sin(0.7 * static_cast<double>(i))) - 0.3F);
    }
  }

  /// Row `text` of what pool_packed() gives, texts as they were given.
  std::vector<std::vector<float>> pooled(std::span<const PoolingMode> modes) {
    PoolingTables tables = pooling_tables(modes, inputs, packing);
    const auto tokens = static_cast<std::int64_t>(packing.tokens);
    const at::Tensor result =
        pool_packed(modes, view(states, {tokens, kHidden}), view(tables.lengths),
                    view(tables.weights, {static_cast<std::int64_t>(modes.size()), tokens}));
    std::vector<std::vector<float>> rows(inputs.size());
    const auto size = static_cast<std::size_t>(result.size(1));
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const float* row = result.const_data_ptr<float>() + i * size;
      rows[packing.order[i]].assign(row, row + size);
    }
    return rows;
  }

  std::vector<float> expected(std::span<const PoolingMode> modes, std::size_t text) const {
    std::vector<float> vector(modes.size() * kHidden);
    pool(
        modes,
        std::span(states).subspan(packing.first_tokens[text] * kHidden, ids[text].size() * kHidden),
        kHidden, inputs[text].unpooled, vector);
    return vector;
  }

  std::vector<std::vector<std::int32_t>> ids;
  std::vector<EncoderInput> inputs;
  Packing packing;
  std::vector<float> states;
};

void check_same(const std::vector<float>& got, const std::vector<float>& expected) {
  REQUIRE(got.size() == expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    INFO("element " << i);
    if (std::isinf(expected[i])) {
      CHECK(got[i] == expected[i]);
    } else {
      CHECK(got[i] == Approx(expected[i]).margin(1e-6));
    }
  }
}

}  // namespace

TEST_CASE("each mode, and several together, pool as on the CPU, prompts left out") {
  const std::vector<std::vector<PoolingMode>> kModes = {
      {PoolingMode::cls},
      {PoolingMode::max},
      {PoolingMode::mean},
      {PoolingMode::mean_sqrt_len},
      {PoolingMode::weighted_mean},
      {PoolingMode::last_token},
      {PoolingMode::max, PoolingMode::cls, PoolingMode::mean}};
  Batch batch;
  for (const std::size_t unpooled : {0, 1, 2, 9}) {
    for (EncoderInput& input : batch.inputs) input.unpooled = unpooled;
    for (std::size_t m = 0; m < kModes.size(); ++m) {
      const auto rows = batch.pooled(kModes[m]);
      for (std::size_t text = 0; text < rows.size(); ++text) {
        INFO("modes " << m << ", unpooled " << unpooled << ", text " << text);
        check_same(rows[text], batch.expected(kModes[m], text));
      }
    }
  }
}

TEST_CASE("states in 16 bits are pooled in float32") {
  Batch batch;
  const std::vector<PoolingMode> modes = {PoolingMode::mean};
  PoolingTables tables = pooling_tables(modes, batch.inputs, batch.packing);
  const auto tokens = static_cast<std::int64_t>(batch.packing.tokens);
  const at::Tensor result =
      pool_packed(modes, view(batch.states, {tokens, kHidden}).to(at::kBFloat16),
                  view(tables.lengths), view(tables.weights, {1, tokens}));
  CHECK(result.scalar_type() == at::kFloat);
}
