#include "model/activate.h"

#include <ATen/Parallel.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>
#include <c10/core/InferenceMode.h>

#include <catch2/catch.hpp>

using namespace ml_worker;

TEST_CASE("rows are activated on all threads, each by itself") {
  const int threads = at::get_num_threads();
  at::set_num_threads(2);
  for (const std::int64_t columns : {64, 70}) {
    for (const auto activation : {Activation::gelu_tanh, Activation::relu, Activation::sigmoid,
                                  Activation::silu, Activation::tanh}) {
      const c10::InferenceMode no_gradients;
      const at::Tensor rows = at::randn({200, columns});
      const at::Tensor before = rows.clone();
      activate_rows(rows, activation);
      for (const std::int64_t row : {0, 99, 199}) {
        const at::Tensor alone = before.narrow(0, row, 1).clone();
        activate(alone, activation);
        CHECK(at::equal(alone, rows.narrow(0, row, 1)));
      }
    }
  }
  at::set_num_threads(threads);
}
