#include "terms/decimal.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <optional>

#include "ml_worker/terms.h"

namespace ml_worker::terms {
namespace {

constexpr int kMantissaBits = 23;
/// Exponents q (value = c · 2^q) for which the arithmetic of shortest_decimal() fits into 64 bits:
/// 2^-30 ≤ value < 2^23. An element of an embedding is hardly ever outside.
constexpr int kMinExponent = -53;
constexpr int kMaxExponent = -1;
constexpr int kMaxPlaces = 16;

template <std::uint64_t kBase>
constexpr std::array<std::uint64_t, kMaxPlaces + 1> powers_of() {
  std::array<std::uint64_t, kMaxPlaces + 1> powers{1};
  for (std::size_t i = 1; i < powers.size(); ++i) powers[i] = powers[i - 1] * kBase;
  return powers;
}

constexpr auto kPowersOf5 = powers_of<5>();
constexpr auto kPowersOf10 = powers_of<10>();

constexpr std::array<double, kMaxPlaces + 1> kDoublePowersOf10 = [] {
  std::array<double, kMaxPlaces + 1> powers{};
  for (std::size_t i = 0; i < powers.size(); ++i) powers[i] = static_cast<double>(kPowersOf10[i]);
  return powers;
}();

/// digits / 10^places
struct Decimal {
  std::uint64_t digits;
  int places;
};

/// The least k with 10^-k ≤ 2^q, for q in the range above: ⌊-q · log10 2⌋ + 1.
constexpr int places_for(int q) { return ((-q * 1233) >> 12) + 1; }

/// The shortest decimal of |value|, or nothing where another way must be taken: zero, subnormal
/// numbers, powers of two (their neighbours are not equally far) and magnitudes out of range.
///
/// With value = c · 2^q, decimals within 2^q / 2 of it read back as it (the ends too if c is even:
/// ties go to even). k is chosen so that the steps of 10^-k are no wider than that interval and
/// those of 10^(1-k) are wider: at most one multiple of 10^(1-k) lies inside, and it is then the
/// shortest; otherwise the nearest multiple of 10^-k is. (Steele and White 1990; the choice of k as
/// in R. Giulietti, "The Schubfach way to render doubles", 2020.) All of it is exact: scaled by
/// 10^k · 2^s with s = -(q + k), value is the integer c · 5^k and the half interval 5^k / 2.
inline std::optional<Decimal> shortest_decimal(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t fraction = bits & ((1U << kMantissaBits) - 1);
  const int q = static_cast<int>(bits >> kMantissaBits & 0xFFU) - 127 - kMantissaBits;
  if (fraction == 0 || q < kMinExponent || q > kMaxExponent) return std::nullopt;

  const std::uint64_t c = fraction | 1U << kMantissaBits;
  const int places = places_for(q);
  const int shift = -(q + places);
  const std::uint64_t power = kPowersOf5[static_cast<std::size_t>(places)];
  const std::uint64_t scaled = c * power;
  const std::uint64_t floor = scaled >> shift;

  const std::uint64_t tens = floor - floor % 10;
  const std::uint64_t above_tens = 2 * (scaled - (tens << shift));
  const std::uint64_t below_next = (std::uint64_t{20} << shift) - above_tens;
  const std::uint64_t reach = power - (c & 1U);  // odd c: the ends are outside

  // Choices without branches: which it will be is a toss of a coin, ten million times a second.
  const std::uint64_t above_floor = 2 * (scaled - (floor << shift));
  const std::uint64_t half = std::uint64_t{1} << shift;
  std::uint64_t digits = floor + static_cast<std::uint64_t>(above_floor + (floor & 1U) > half);
  digits = below_next <= reach ? tens + 10 : digits;
  digits = above_tens <= reach ? tens : digits;
  return Decimal{digits, places};
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
char* write_fraction(std::uint64_t fraction, int places, char* out) {
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
  const std::uint64_t one = kPowersOf10[static_cast<std::size_t>(decimal.places)];
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
  if (const auto decimal = shortest_decimal(value)) {
    // Both are exact doubles (below 2^53, at most 10^22): one division rounds to the nearest.
    const double magnitude = static_cast<double>(static_cast<std::int64_t>(decimal->digits)) /
                             kDoublePowersOf10[static_cast<std::size_t>(decimal->places)];
    return std::copysign(magnitude, static_cast<double>(value));
  }
  return rare_shortest_double(value);
}

void shortest_doubles(std::span<const float> values, double* out) {
  for (const float value : values) *out++ = shortest_double(value);
}

char* write_json_number(float value, char* out) {
  const auto decimal = shortest_decimal(value);
  if (decimal || value == 0.0F) {
    if (std::signbit(value)) *out++ = '-';
    return write_fixed(decimal.value_or(Decimal{0, 1}), out);
  }
  return is_power_of_two_in_range(value) ? write_power_of_two(value, out)
                                         : write_scientific(value, out);
}

}  // namespace ml_worker::terms
