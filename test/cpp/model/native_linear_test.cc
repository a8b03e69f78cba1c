#include "model/native_linear.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/silu.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <utility>

using namespace ml_worker;

namespace {

/// With more threads than one, so that products are cut, and in which way they are is met: few rows
/// by panels, many by rows.
class Threads {
 public:
  Threads() { at::set_num_threads(3); }
  ~Threads() { at::set_num_threads(before_); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  int before_ = at::get_num_threads();
};

constexpr std::int64_t kRowCounts[] = {1, 12, 47, 500};

bool near(const at::Tensor& a, const at::Tensor& b, double tolerance) {
  return at::allclose(a, b, tolerance, tolerance);
}

}  // namespace

TEST_CASE("a native layer is libtorch's linear, and what comes after it") {
  const Threads threads;
  const at::Tensor weight = at::randn({200, 384}) / 20.0;
  const at::Tensor bias = at::randn({200});
  for (const auto& [precision, tolerance] :
       {std::pair(Precision::float32, 1e-5), {Precision::int8, 0.15}}) {
    const NativeLinear layer(weight, bias, precision);
    for (const std::int64_t rows : kRowCounts) {
      INFO(name_of(precision) << ", " << rows << " rows");
      const at::Tensor x = at::randn({rows, 384});
      const at::Tensor other = at::randn({rows, 200});
      const at::Tensor expected = at::linear(x, weight, bias);
      CHECK(near(layer.apply(x, Activation::identity), expected, tolerance));
      CHECK(near(layer.apply(x, Activation::silu), at::silu(expected), tolerance));
      CHECK(near(layer.apply_add(x, other), expected + other, tolerance));
      CHECK(near(layer.apply_multiply(x, other), expected * other, 3 * tolerance));
    }
  }
}

TEST_CASE("a native layer takes views, and may have no bias") {
  const Threads threads;
  const at::Tensor weight = at::randn({70, 40}).t().contiguous().t();
  const at::Tensor x = at::randn({9, 80}).narrow(1, 20, 40);
  const NativeLinear layer(weight, {}, Precision::float32);
  CHECK(near(layer.apply(x, Activation::identity), at::linear(x, weight), 1e-5));
}

TEST_CASE("a row of a native layer is the same bytes however many threads and rows there are") {
  const at::Tensor weight = at::randn({1536, 384});
  const at::Tensor x = at::randn({500, 384});
  for (const Precision precision : {Precision::float32, Precision::int8}) {
    const NativeLinear layer(weight, {}, precision);
    const at::Tensor alone = layer.apply(x.narrow(0, 123, 1), Activation::gelu);
    const Threads threads;
    for (const std::int64_t rows : kRowCounts) {
      const std::int64_t first = std::min<std::int64_t>(123, 500 - rows);
      const at::Tensor batch = layer.apply(x.narrow(0, first, rows), Activation::gelu);
      CHECK(at::equal(batch.narrow(0, 123 - first, 1), alone));
    }
  }
}
