#include "model/short_attention.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/scaled_dot_product_attention.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "widths.h"

using namespace ml_worker;

namespace {

constexpr std::int64_t kHeads = 3;

/// Random queries, keys and values; scores of some hundreds where `scale` is large.
at::Tensor random_rows(std::int64_t rows, std::int64_t size, double scale) {
  return at::randn({rows, 3 * kHeads * size}) * scale;
}

at::Tensor ours(const at::Tensor& qkv, std::int64_t length, VectorWidth width = vector_width()) {
  const std::int64_t hidden = qkv.size(1) / 3;
  at::Tensor context = at::empty({qkv.size(0), hidden}, at::kFloat);
  attend_short(qkv.const_data_ptr<float>(), static_cast<std::size_t>(qkv.size(0) / length),
               static_cast<std::size_t>(length), kHeads, static_cast<std::size_t>(hidden / kHeads),
               context.mutable_data_ptr<float>(), width);
  return context;
}

/// In float64 by libtorch.
at::Tensor reference(const at::Tensor& qkv, std::int64_t length) {
  const std::int64_t hidden = qkv.size(1) / 3;
  const at::Tensor parts = qkv.to(at::kDouble)
                               .view({qkv.size(0) / length, length, 3, kHeads, hidden / kHeads})
                               .permute({2, 0, 3, 1, 4});
  return at::scaled_dot_product_attention(parts.select(0, 0), parts.select(0, 1),
                                          parts.select(0, 2))
      .transpose(1, 2)
      .reshape({qkv.size(0), hidden});
}

}  // namespace

TEST_CASE("short attention is for whole vector registers and up to 128 tokens") {
  CHECK(is_for_short_attention(1, 32));
  CHECK(is_for_short_attention(128, 64));
  CHECK_FALSE(is_for_short_attention(129, 64));
  CHECK_FALSE(is_for_short_attention(12, 40));
}

TEST_CASE("short attention is softmax(QKᵀ/√d)·V") {
  for (const std::int64_t size : {16, 32, 64, 96}) {
    for (std::int64_t length = 1; length <= 128; length += length < 34 ? 1 : 13) {
      for (const double scale : {0.1, 1.0, 8.0}) {
        const at::Tensor qkv = random_rows(2 * length, size, scale);
        INFO(size << " elements, " << length << " tokens, times " << scale);
        // Of large scores the rounding itself is a larger part.
        CHECK(at::allclose(ours(qkv, length).to(at::kDouble), reference(qkv, length), 1e-4,
                           scale * (scale > 1.0 ? 2e-4 : 1e-6)));
      }
    }
  }
}

TEST_CASE("short attention is the same in registers of each width, but for rounding") {
  for (const std::int64_t length : {1, 5, 12, 17, 40, 128}) {
    const at::Tensor qkv = random_rows(3 * length, 48, 1.0);
    for (const VectorWidth width : widths_of_this_machine()) {
      CHECK(at::allclose(ours(qkv, length, width).to(at::kDouble), reference(qkv, length), 1e-4,
                         1e-6));
    }
  }
}

TEST_CASE("short attention of a text is the same bytes alone and among others") {
  const std::int64_t threads = at::get_num_threads();
  for (const std::int64_t length : {1, 7, 16, 33, 128}) {
    const at::Tensor qkv = random_rows(40 * length, 32, 1.0);
    const at::Tensor together = ours(qkv, length);
    at::set_num_threads(1);
    for (const std::int64_t text : {0, 17, 39}) {
      const at::Tensor alone = qkv.narrow(0, text * length, length).contiguous();
      CHECK(at::equal(ours(alone, length), together.narrow(0, text * length, length)));
    }
    at::set_num_threads(static_cast<int>(threads));
  }
}

TEST_CASE("what is not finite does not come out of short attention as a number") {
  at::Tensor qkv = random_rows(5, 32, 1.0);
  auto* row = qkv.mutable_data_ptr<float>() + 2 * qkv.size(1);
  row[32 * kHeads] = std::numeric_limits<float>::quiet_NaN();           // the first head's key
  row[32 * (2 * kHeads + 1)] = std::numeric_limits<float>::infinity();  // the second's value
  const at::Tensor context = ours(qkv, 5);
  const auto* first = context.const_data_ptr<float>();
  CHECK(std::isnan(first[0]));
  CHECK(std::isinf(first[32]));
  CHECK(std::isfinite(first[33]));
  CHECK(std::isfinite(first[64]));
}
