#include "model/matrix_product.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <numbers>
#include <random>
#include <vector>

#include "epilogues.h"
#include "widths.h"

using namespace ml_worker;

namespace {

std::vector<float> random_numbers(std::size_t size) {
  static std::mt19937 generator(7);
  std::uniform_real_distribution<float> distribution(-2.0F, 2.0F);
  std::vector<float> numbers(size);
  for (float& number : numbers) number = distribution(generator);
  return numbers;
}

struct Problem {
  Problem(std::size_t of_rows, std::size_t of_out, std::size_t of_in)
      : rows(of_rows),
        out(of_out),
        in(of_in),
        x(random_numbers(rows * in)),
        weight(random_numbers(out * in)),
        bias(random_numbers(out)),
        other(random_numbers(rows * out)),
        packed(weight, bias, out) {}

  std::vector<float> compute(Epilogue epilogue, VectorWidth width) const {
    std::vector<float> y(rows * out, std::numeric_limits<float>::quiet_NaN());
    product(epilogue, y).compute({0, rows}, {0, panels_of(out)}, width);
    return y;
  }

  MatrixProduct product(Epilogue epilogue, std::vector<float>& y) const {
    return {packed, x.data(), y.data(), epilogue, other.data()};
  }

  double expected(Epilogue epilogue, std::size_t row, std::size_t column) const {
    double sum = bias[column];
    for (std::size_t j = 0; j < in; ++j) {
      sum += static_cast<double>(x[row * in + j]) * static_cast<double>(weight[column * in + j]);
    }
    return finished(epilogue, sum, other[row * out + column]);
  }

  std::size_t rows;
  std::size_t out;
  std::size_t in;
  std::vector<float> x;
  std::vector<float> weight;
  std::vector<float> bias;
  std::vector<float> other;
  PackedWeights packed;
};

/// The largest difference to float64.
double error(const Problem& problem, Epilogue epilogue, VectorWidth width) {
  const std::vector<float> y = problem.compute(epilogue, width);
  double largest = 0.0;
  for (std::size_t i = 0; i < problem.rows; ++i) {
    for (std::size_t j = 0; j < problem.out; ++j) {
      const double difference = y[i * problem.out + j] - problem.expected(epilogue, i, j);
      if (!(std::abs(difference) <= largest)) largest = std::abs(difference);
    }
  }
  return largest;
}

}  // namespace

TEST_CASE("a matrix product is x·Wᵀ + b, and what comes after it, for all sizes") {
  for (const VectorWidth width : widths_of_this_machine()) {
    for (const std::size_t rows : {1, 2, 5, 6, 7, 11, 12, 13, 48, 49, 100}) {
      for (const std::size_t out : {1, 3, 8, 15, 16, 17, 24, 32, 33, 48, 70}) {
        const Problem problem(rows, out, 1 + (rows * out) % 70);
        for (const Epilogue epilogue : kEpilogues) {
          INFO(rows << " rows, " << out << " of " << problem.in << ", epilogue "
                    << static_cast<int>(epilogue) << ", width " << static_cast<int>(width));
          CHECK(error(problem, epilogue, width) < 1e-4);
        }
      }
    }
  }
}

TEST_CASE("a matrix product without a bias adds none") {
  const std::vector<float> weight = {1.0F, 2.0F, 3.0F, 4.0F};
  const std::vector<float> x = {10.0F, 1.0F};
  std::vector<float> y(2);
  const PackedWeights packed(weight, {}, 2);
  const MatrixProduct product{packed, x.data(), y.data()};
  product.compute({0, 1}, {0, panels_of(2)});
  CHECK(y == std::vector<float>{12.0F, 34.0F});
}

TEST_CASE("a row of a matrix product is the same bytes in every batch and every part") {
  const Problem all(101, 200, 384);
  for (const VectorWidth width : widths_of_this_machine()) {
    for (const Epilogue epilogue : kEpilogues) {
      const std::vector<float> together = all.compute(epilogue, width);
      std::vector<float> parts(together.size());
      const MatrixProduct product = all.product(epilogue, parts);
      for (std::size_t row = 0, rows = 1; row < all.rows; row += rows, ++rows) {
        const std::size_t end = std::min(all.rows, row + rows);
        const std::size_t middle = rows % panels_of(all.out);
        product.compute({row, end}, {0, middle}, width);
        product.compute({row, end}, {middle, panels_of(all.out)}, width);
      }
      CHECK(parts == together);
    }
  }
}

TEST_CASE("a part of a matrix product writes nothing beside it") {
  const Problem problem(20, 70, 9);
  for (const VectorWidth width : widths_of_this_machine()) {
    std::vector<float> y(problem.rows * problem.out, -1234.5F);
    problem.product(Epilogue::gelu, y).compute({7, 13}, {1, 3}, width);
    for (std::size_t i = 0; i < 20; ++i) {
      for (std::size_t j = 0; j < 70; ++j) {
        const bool inside = i >= 7 && i < 13 && j >= 16 && j < 48;
        CHECK((y[i * 70 + j] == -1234.5F) != inside);
      }
    }
  }
}

TEST_CASE("gelu is x·Φ(x) to a few ten millionths of x, and never a number where x is none") {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  const PackedWeights one(std::vector<float>{1.0F}, {}, 1);
  for (const VectorWidth width : widths_of_this_machine()) {
    const auto gelu_of = [&](float x) {
      float y = 0.0F;
      MatrixProduct{one, &x, &y, Epilogue::gelu}.compute({0, 1}, {0, 1}, width);
      return y;
    };
    for (int step = -2560; step <= 2560; ++step) {
      const float x = static_cast<float>(step) / 128.0F;
      const double wide = x;
      const double expected = wide * std::erfc(-wide / std::numbers::sqrt2) / 2;
      CHECK(std::abs(gelu_of(x) - expected) <= 3e-7 * std::max(1.0, std::abs(wide)));
    }
    CHECK(gelu_of(0.0F) == 0.0F);
    CHECK(gelu_of(1e30F) == 1e30F);
    CHECK(gelu_of(-1e30F) == 0.0F);
    CHECK(std::isnan(gelu_of(kNan)));
    CHECK_FALSE(std::isfinite(gelu_of(std::numeric_limits<float>::infinity())));
    CHECK_FALSE(std::isfinite(gelu_of(-std::numeric_limits<float>::infinity())));
  }
}
