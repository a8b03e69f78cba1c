#include "terms/decimal.h"

#include <array>
#include <bit>
#include <catch2/catch.hpp>
#include <charconv>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "ml_worker/terms.h"

namespace ml_worker::terms {
namespace {

using Limits = std::numeric_limits<float>;

/// The definition, by the standard library: shortest digits of the float32, read as a double.
double by_library(float value) {
  std::array<char, 32> text{};
  const auto* const end =
      std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::scientific)
          .ptr;
  double result = 0.0;
  std::from_chars(text.data(), end, result);
  return result;
}

std::string json(float value) {
  std::array<char, kMaxJsonNumberChars> text{};
  return {text.data(), write_json_number(value, text.data())};
}

bool same(double a, double b) {
  return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b);
}

/// All that must hold of one float; one assertion for millions of them.
bool holds(float value) {
  const double expected = by_library(value);
  const std::string text = json(value);
  double read = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), read);
  const bool float_like = text.find_first_of(".e") != std::string::npos;
  return same(shortest_double(value), expected) && error == std::errc() &&
         end == text.data() + text.size() && same(read, expected) && float_like &&
         std::bit_cast<std::uint32_t>(static_cast<float>(read)) ==
             std::bit_cast<std::uint32_t>(value);
}

void check(float value) {
  if (holds(value) && holds(-value)) return;
  CAPTURE(value, json(value), shortest_double(value), by_library(value));
  FAIL();
}

TEST_CASE("a float is the double of its shortest decimal") {
  CHECK(same(shortest_double(0.1F), 0.1));
  CHECK(same(shortest_double(-0.034477282F), -0.034477282));
  CHECK(same(shortest_double(0.0F), 0.0));
  CHECK(same(shortest_double(-0.0F), -0.0));
  CHECK(same(shortest_double(1.0F), 1.0));
}

TEST_CASE("special floats come back bit by bit") {
  for (const float value :
       {0.0F, 0.5F, 1.0F, 2.0F, 1e10F, 16777216.0F, 16777215.0F, 9.5e-10F, Limits::max(),
        Limits::min(), Limits::denorm_min(), Limits::epsilon(), 3.4e-45F, 1.17549421e-38F}) {
    check(value);
  }
}

TEST_CASE("all powers of two and their neighbours come back bit by bit") {
  for (std::uint32_t exponent = 0; exponent < 255; ++exponent) {
    for (int step = -300; step <= 300; ++step) {
      const std::uint32_t bits = (exponent << 23U) + static_cast<std::uint32_t>(step);
      const auto value = std::bit_cast<float>(bits & 0x7FFFFFFFU);
      if (std::isfinite(value)) check(value);
    }
  }
}

TEST_CASE("any finite floats come back bit by bit") {
  std::mt19937 random(1);
  for (int i = 0; i < 500000; ++i) {
    const auto value = std::bit_cast<float>(static_cast<std::uint32_t>(random()) & 0x7FFFFFFFU);
    if (std::isfinite(value)) check(value);
  }
}

TEST_CASE("floats of the size of embeddings come back bit by bit") {
  std::mt19937 random(2);
  std::normal_distribution<float> elements(0.0F, 0.05F);
  for (int i = 0; i < 500000; ++i) check(elements(random));
}

TEST_CASE("many floats at once are what each is by itself, rare ones among them") {
  std::mt19937 random(3);
  std::normal_distribution<float> elements(0.0F, 0.05F);
  const std::array rare{0.0F, -0.0F, 0.25F, -2.0F, 1e-20F, 1e20F, Limits::denorm_min()};
  for (std::size_t size = 0; size < 300; ++size) {
    std::vector<float> values(size);
    for (float& value : values) value = elements(random);
    for (std::size_t i = 0; i < size / 64; ++i) {
      if (random() % 2 == 0) values[random() % size] = rare[random() % rare.size()];
    }
    std::vector<double> doubles(size);
    shortest_doubles(values, doubles.data());
    for (std::size_t i = 0; i < size; ++i) {
      if (!same(doubles[i], by_library(values[i]))) FAIL(values[i]);
    }
  }
}

TEST_CASE("decimals of few digits stay short") {
  for (int i = 1; i < 200000; ++i) {
    const float value = static_cast<float>(i) / 10000.0F;
    check(value);
    if (json(value).size() > 7) FAIL(json(value));
  }
}

TEST_CASE("JSON numbers are valid and read as floats") {
  CHECK(json(0.0F) == "0.0");
  CHECK(json(-0.0F) == "-0.0");
  CHECK(json(1.0F) == "1.0");
  CHECK(json(3.0F) == "3.0");
  CHECK(json(-0.25F) == "-0.25");
  CHECK(json(0.034477282F) == "0.034477282");
  CHECK(json(0.00012F) == "0.00012");
  CHECK(json(123456.5F) == "123456.5");
  CHECK(json(Limits::max()) == "3.4028235e+38");
  CHECK(json(-Limits::min()).size() < kMaxJsonNumberChars);
}

}  // namespace
}  // namespace ml_worker::terms
