#include "terms/decimal.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "ml_worker/terms.h"
#include "ml_worker/vector_width.h"

namespace ml_worker::terms {
namespace {

constexpr int kMantissaBits = 23;
/// value = c · 2^-k with a whole c of 24 bits; for k from 1 to kMaxExponent, 2^-30 ≤ value < 2^23,
/// the arithmetic of shortest_decimal() fits into 64 bits. An element of an embedding is hardly
/// ever outside.
constexpr std::uint32_t kMaxExponent = 53;
constexpr std::uint32_t kMaxPlaces = 16;

template <typename Number, std::uint64_t kBase, std::size_t kSize>
constexpr std::array<Number, kSize> powers_of() {
  std::array<Number, kSize> powers{1};
  for (std::size_t i = 1; i < kSize; ++i) powers[i] = powers[i - 1] * static_cast<Number>(kBase);
  return powers;
}

/// Tables even of what a shift would give: of a constant and a variable number of bits the compiler
/// makes no vector code.
constexpr auto kPowersOf2 = powers_of<std::uint64_t, 2, kMaxExponent>();
constexpr auto kPowersOf5 = powers_of<std::uint64_t, 5, kMaxPlaces + 1>();
constexpr auto kPowersOf10 = powers_of<std::uint64_t, 10, kMaxPlaces + 1>();
constexpr auto kDoublePowersOf10 = powers_of<double, 10, kMaxPlaces + 1>();

/// digits / 10^places
struct Decimal {
  std::uint32_t digits;  ///< less than 2^28
  std::uint32_t places;
  std::uint32_t found;  ///< 1, or 0: no bool, of which the compiler makes no vector code
};

/// The shortest decimal of the float32 |value| with these bits; not found where another way must be
/// taken: zero, subnormal numbers, powers of two (their neighbours are not equally far) and
/// magnitudes out of range.
///
/// With value = c · 2^-k, decimals within 2^-k / 2 of it read back as it (the ends too if c is
/// even: ties go to even). `places` p is the least one with 10^-p ≤ 2^-k, so that the steps of
/// 10^-p are no wider than that interval and those of 10^(1-p) are wider: at most one multiple of
/// 10^(1-p) lies inside, and it is then the shortest; otherwise the nearest multiple of 10^-p is.
/// (Steele and White 1990; the choice of p as in R. Giulietti, "The Schubfach way to render
/// doubles", 2020.) All of it is exact: scaled by 10^p · 2^s with s = k - p, value is the integer c
/// · 5^p and the half interval 5^p / 2.
///
/// There is no branch in it: which digits it will be is a toss of a coin, ten million times a
/// second, and a loop of it becomes vector code.
[[gnu::always_inline]] inline Decimal shortest_decimal(std::uint32_t bits) {
  const std::uint32_t fraction = bits & ((1U << kMantissaBits) - 1);
  const std::uint32_t k = 127 + kMantissaBits - (bits >> kMantissaBits & 0xFFU);
  const std::uint32_t found =
      static_cast<std::uint32_t>(fraction != 0) & static_cast<std::uint32_t>(k - 1 < kMaxExponent);
  // Of what is not found too, so that the tables are read where they are.
  const std::uint32_t exponent = std::min(k - 1, kMaxExponent - 1) + 1;

  const std::uint64_t c = fraction | 1U << kMantissaBits;
  const std::uint32_t places = (exponent * 1233U >> 12U) + 1;  // ⌊k · log10 2⌋ + 1
  const std::uint32_t shift = exponent - places;
  const std::uint64_t one = kPowersOf2[shift];
  const std::uint64_t power = kPowersOf5[places];
  const std::uint64_t scaled = c * power;
  const std::uint64_t floor = scaled >> std::uint64_t{shift};

  const std::uint64_t tens = (floor * 0xCCCCCCCDU >> 35U) * 10;  // floor < 2^28
  const std::uint64_t above_tens = 2 * (scaled - (tens << std::uint64_t{shift}));
  const std::uint64_t below_next = 20 * one - above_tens;
  const std::uint64_t reach = power - (c & 1U);  // odd c: the ends are outside

  const std::uint64_t above_floor = 2 * (scaled - (floor << std::uint64_t{shift}));
  std::uint64_t digits = floor + static_cast<std::uint64_t>(above_floor + (floor & 1U) > one);
  digits = below_next <= reach ? tens + 10 : digits;
  digits = above_tens <= reach ? tens : digits;
  return {static_cast<std::uint32_t>(digits), places, found};
}

/// The double of a decimal that was found, with the sign of the float32 with these bits. Both
/// numbers are exact doubles (below 2^53, at most 10^22): one division rounds to the nearest.
[[gnu::always_inline]] inline double signed_double(const Decimal& decimal, std::uint32_t bits) {
  const double magnitude = static_cast<double>(static_cast<std::int32_t>(decimal.digits)) /
                           kDoublePowersOf10[decimal.places];
  return bits >> 31U != 0 ? -magnitude : magnitude;
}

/// So many at a time, whose number the compiler knows.
constexpr std::size_t kBlock = 64;

/// The doubles of a block of values, if there is none among them that must go another way.
ML_WORKER_FOR_EACH_VECTOR_WIDTH
bool block_of_doubles(const float* values, double* out) {
  std::array<std::uint32_t, kBlock> bits{};
  std::array<double, kBlock> doubles{};
  std::memcpy(bits.data(), values, sizeof bits);
  std::uint32_t found = 1;
  for (std::size_t i = 0; i < kBlock; ++i) {
    const Decimal decimal = shortest_decimal(bits[i]);
    found &= decimal.found;
    doubles[i] = signed_double(decimal, bits[i]);
  }
  std::memcpy(out, doubles.data(), sizeof doubles);
  return found != 0;
}

/// "d.ddde±dd", the library's shortest digits.
char* write_scientific(float value, char* out) {
  return std::to_chars(out, out + kMaxJsonNumberChars, value, std::chars_format::scientific).ptr;
}

bool is_power_of_two_in_range(float value) {
  const float magnitude = std::fabs(value);
  int exponent = 0;
  return std::frexp(magnitude, &exponent) == 0.5F && magnitude >= 0x1p-30F && magnitude < 0x1p23F;
}

/// The library's shortest digits without an exponent.
char* write_power_of_two(float value, char* out) {
  char* const end =
      std::to_chars(out, out + kMaxJsonNumberChars, value, std::chars_format::fixed).ptr;
  if (std::find(out, end, '.') != end) return end;
  return std::copy_n(".0", 2, end);
}

char* write_integer(std::uint64_t value, char* out) {
  return std::to_chars(out, out + kMaxJsonNumberChars, value).ptr;
}

/// `places` digits of `fraction`, zeros before it included.
char* write_fraction(std::uint64_t fraction, std::uint32_t places, char* out) {
  for (char* digit = out + places; digit != out; fraction /= 10) {
    *--digit = static_cast<char>('0' + fraction % 10);
  }
  return out + places;
}

char* write_fixed(Decimal decimal, char* out) {
  while (decimal.places > 1 && decimal.digits % 10 == 0) {
    decimal.digits /= 10;
    --decimal.places;
  }
  const std::uint64_t one = kPowersOf10[decimal.places];
  out = write_integer(decimal.digits / one, out);
  *out++ = '.';
  return write_fraction(decimal.digits % one, decimal.places, out);
}

}  // namespace

namespace {

/// Of the values for which the library must be asked.
double rare_shortest_double(float value) {
  if (value == 0.0F) return value;
  std::array<char, kMaxJsonNumberChars> text{};
  const char* const end = write_scientific(value, text.data());
  double result = value;
  std::from_chars(text.data(), end, result);
  return result;
}

}  // namespace

double shortest_double(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const Decimal decimal = shortest_decimal(bits);
  return decimal.found != 0 ? signed_double(decimal, bits) : rare_shortest_double(value);
}

void shortest_doubles(std::span<const float> values, double* out) {
  while (!values.empty()) {
    const auto next = values.first(std::min(values.size(), kBlock));
    if (next.size() < kBlock || !block_of_doubles(next.data(), out)) {
      std::transform(next.begin(), next.end(), out, shortest_double);
    }
    out += next.size();
    values = values.subspan(next.size());
  }
}

char* write_json_number(float value, char* out) {
  const Decimal decimal = shortest_decimal(std::bit_cast<std::uint32_t>(value));
  if (decimal.found != 0 || value == 0.0F) {
    if (std::signbit(value)) *out++ = '-';
    return write_fixed(decimal.found != 0 ? decimal : Decimal{0, 1, 1}, out);
  }
  return is_power_of_two_in_range(value) ? write_power_of_two(value, out)
                                         : write_scientific(value, out);
}

}  // namespace ml_worker::terms
