#include "model/int8_product.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <random>
#include <span>
#include <vector>

#include "epilogues.h"

using namespace ml_worker;

namespace {

std::vector<Int8Kernel> kernels_of_this_machine() {
  std::vector<Int8Kernel> kernels;
  for (const auto kernel : {Int8Kernel::portable, Int8Kernel::avx2, Int8Kernel::avx512_vnni}) {
    if (kernel <= int8_kernel()) kernels.push_back(kernel);
  }
  return kernels;
}

std::mt19937& generator() {
  static std::mt19937 numbers(7);
  return numbers;
}

std::vector<float> random_floats(std::size_t size) {
  std::uniform_real_distribution<float> distribution(0.5F, 2.0F);
  std::vector<float> numbers(size);
  for (float& number : numbers) number = distribution(generator());
  return numbers;
}

/// Whole numbers, mostly the ends, where sums are largest. The first of each row is the largest, so
/// that the row's scale is 1 and rounding changes nothing.
std::vector<float> whole_numbers(std::size_t rows, std::size_t size, int largest) {
  std::uniform_int_distribution<int> distribution(-3 * largest, 3 * largest);
  std::vector<float> numbers(rows * size);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const int number = i % size == 0 ? largest : distribution(generator());
    numbers[i] = static_cast<float>(std::clamp(number, -largest, largest));
  }
  return numbers;
}

struct Problem {
  Problem(std::size_t of_rows, std::size_t of_out, std::size_t of_in, Int8Kernel of_kernel)
      : rows(of_rows),
        out(of_out),
        in(of_in),
        numbers(whole_numbers(rows, in, 127)),
        weight(whole_numbers(out, in, largest_weight(of_kernel))),
        bias(random_floats(out)),
        other(random_floats(rows * out)),
        packed(weight, bias, out, of_kernel),
        x(rows * packed.steps(), -1),
        scales(rows) {
    for (std::size_t i = 0; i < rows; ++i) {
      scales[i] = quantize_row(std::span(numbers).subspan(i * in, in),
                               std::span(x).subspan(i * packed.steps(), packed.steps()));
    }
  }

  std::vector<float> compute(Epilogue epilogue, std::size_t rows_at_once = 1000) const {
    std::vector<float> y(rows * out, std::numeric_limits<float>::quiet_NaN());
    const Int8Product product{packed, x.data(), scales.data(), y.data(), epilogue, other.data()};
    for (std::size_t row = 0; row < rows; row += rows_at_once) {
      product.compute({row, std::min(rows, row + rows_at_once)}, {0, panels_of(out)});
    }
    return y;
  }

  double expected(Epilogue epilogue, std::size_t row, std::size_t column) const {
    double number = bias[column];
    for (std::size_t j = 0; j < in; ++j) {
      number += static_cast<double>(numbers[row * in + j] * weight[column * in + j]);
    }
    return finished(epilogue, number, other[row * out + column]);
  }

  std::size_t rows;
  std::size_t out;
  std::size_t in;
  std::vector<float> numbers;
  std::vector<float> weight;
  std::vector<float> bias;
  std::vector<float> other;
  PackedInt8Weights packed;
  std::vector<std::int32_t> x;
  std::vector<float> scales;
};

}  // namespace

TEST_CASE("8-bit sums are exact, for all sizes and up to the largest numbers") {
  for (const Int8Kernel kernel : kernels_of_this_machine()) {
    for (const std::size_t rows : {1, 2, 5, 6, 7, 12, 13, 49}) {
      for (const std::size_t out : {1, 3, 15, 16, 17, 32, 33, 48, 70}) {
        const Problem problem(rows, out, 1 + (rows * out) % 67, kernel);
        for (const Epilogue epilogue : kEpilogues) {
          const std::vector<float> y = problem.compute(epilogue);
          bool right = true;
          for (std::size_t i = 0; i < y.size(); ++i) {
            const double expected = problem.expected(epilogue, i / out, i % out);
            right = right && std::abs(y[i] - expected) <= std::abs(expected) * 1e-6 + 1e-6;
          }
          INFO(rows << " rows, " << out << " of " << problem.in << ", epilogue "
                    << static_cast<int>(epilogue) << ", kernel " << static_cast<int>(kernel));
          CHECK(right);
        }
      }
    }
  }
}

TEST_CASE("8-bit sums of long rows do not saturate") {
  for (const Int8Kernel kernel : kernels_of_this_machine()) {
    constexpr std::size_t kIn = 4096;
    const std::vector<float> ones(kIn, 1.0F);
    const PackedInt8Weights packed(ones, {}, 1, kernel);
    std::vector<std::int32_t> x(packed.steps());
    const float scale = quantize_row(ones, x);
    float y = 0.0F;
    Int8Product{packed, x.data(), &scale, &y}.compute({0, 1}, {0, 1});
    CHECK(y == Approx(kIn));
  }
}

TEST_CASE("a row of an 8-bit product is the same bytes in every batch") {
  for (const Int8Kernel kernel : kernels_of_this_machine()) {
    const Problem problem(60, 70, 99, kernel);
    const std::vector<float> together = problem.compute(Epilogue::gelu);
    for (const std::size_t rows : {1, 2, 5, 7, 13, 48}) {
      CHECK(problem.compute(Epilogue::gelu, rows) == together);
    }
  }
}

TEST_CASE("rounding keeps a row's largest number, zeros, and what is no number") {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  const auto product = [](const std::vector<float>& weight, const std::vector<float>& row,
                          Int8Kernel kernel) {
    const PackedInt8Weights packed(weight, {}, 1, kernel);
    std::vector<std::int32_t> x(packed.steps());
    const float scale = quantize_row(row, x);
    float y = 0.0F;
    Int8Product{packed, x.data(), &scale, &y}.compute({0, 1}, {0, 1});
    return y;
  };
  const std::vector<float> ones = {1.0F, 1.0F, 1.0F};
  const std::vector<float> zeros = {0.0F, 0.0F, 0.0F};
  for (const Int8Kernel kernel : kernels_of_this_machine()) {
    CHECK(product(ones, {0.0F, -5.0F, 0.0F}, kernel) == Approx(-5.0F));
    CHECK(product({0.25F, -0.5F, 0.0F}, ones, kernel) == Approx(-0.25F).epsilon(0.02));
    CHECK(product(ones, ones, kernel) == Approx(3.0F));
    CHECK(product(ones, zeros, kernel) == 0.0F);
    CHECK(product(zeros, ones, kernel) == 0.0F);
    CHECK(std::isnan(product(ones, {1.0F, kNan, 0.0F}, kernel)));
    CHECK(std::isnan(product(ones, {std::numeric_limits<float>::infinity(), 0.0F, 0.0F}, kernel)));
    CHECK_FALSE(std::isfinite(product({1.0F, kNan, 0.0F}, ones, kernel)));
  }
}
