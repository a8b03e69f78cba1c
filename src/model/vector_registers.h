// Arithmetic on whole vector registers of floats, of whatever width. Functions that use it are
// compiled once for each width (ForEachWidth) and called by the machine's.
#pragma once

#include <cstddef>
#include <cstring>
#include <numbers>

/// Inlined into whatever it is called from: else it would not be compiled for the caller's
/// registers.
#define ML_WORKER_INLINE [[gnu::always_inline]] inline

#if defined(__x86_64__)
#define ML_WORKER_32_BYTES [[gnu::target("avx2,fma")]]
#define ML_WORKER_64_BYTES [[gnu::target("avx512f,avx2,fma")]]
#else
#define ML_WORKER_32_BYTES
#define ML_WORKER_64_BYTES
#endif

namespace ml_worker {

using Floats4 = float __attribute__((vector_size(16)));
using Floats8 = float __attribute__((vector_size(32)));
using Floats16 = float __attribute__((vector_size(64)));

/// Of 32 bits each.
template <typename Vector>
constexpr std::size_t kLanesOf = sizeof(Vector) / sizeof(float);

/// Registers of 16 bytes are every machine's; those of 32 need AVX2 and FMA, those of 64 AVX-512.
enum class VectorWidth { bytes16, bytes32, bytes64 };

/// The machine's widest.
VectorWidth vector_width();

/// One function for each width.
template <typename Function>
struct ForEachWidth {
  Function* bytes16;
  Function* bytes32;
  Function* bytes64;

  Function& operator[](VectorWidth width) const {
    if (width == VectorWidth::bytes64) return *bytes64;
    return width == VectorWidth::bytes32 ? *bytes32 : *bytes16;
  }
};

template <typename Element, typename Vector>
ML_WORKER_INLINE void load(const Element* from, Vector& to) {
  std::memcpy(&to, from, sizeof to);
}

template <typename Element, typename Vector>
ML_WORKER_INLINE void store(const Vector& from, Element* to) {
  std::memcpy(to, &from, sizeof from);
}

/// e^x for x ≤ 0, to about 2e-7 of it. Below -87 it is e^-87. As Cephes' expf: e^x = 2^n · e^r with
/// |r| ≤ ln 2 / 2, and a polynomial of r. NaN stays NaN.
template <typename Vector>
ML_WORKER_INLINE void exponentials(Vector& x) {
  using Bits = decltype(Vector{} < Vector{});
  constexpr float kLowest = -87.0F;
  constexpr float kRound = 12582912.0F;  // 1.5 · 2^23: what is added to it loses its fraction
  constexpr float kLn2High = 0.693359375F;
  constexpr float kLn2Low = -2.12194440e-4F;
  x = x < kLowest ? Vector{} + kLowest : x;
  const Vector shifted = x * std::numbers::log2e_v<float> + kRound;
  const Vector n = shifted - kRound;
  const Vector r = x - n * kLn2High - n * kLn2Low;
  Vector p = r * 1.9875691500e-4F + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = p * (r * r) + r + 1.0F;
  Bits exponent;
  std::memcpy(&exponent, &shifted, sizeof exponent);
  exponent = (exponent + 127) << 23;
  Vector power;
  std::memcpy(&power, &exponent, sizeof power);
  x = p * power;
}

/// x·Φ(x), to about |x| · 3e-7; not finite where x is not. Φ(x) = 1/2 + x·P(x²)/Q(x²) where it is
/// neither 0 nor 1: the P and Q of degree 5 whose largest error is least.
template <typename Vector>
ML_WORKER_INLINE void gelu(Vector& x) {
  constexpr float kEnd = 5.6F;
  const Vector u = x * x;
  Vector p = u * 2.1710229229e-8F + 6.5904524165e-6F;
  p = p * u + 1.9015167660e-4F;
  p = p * u + 4.8053999271e-3F;
  p = p * u + 3.5846939987e-2F;
  p = p * u + 3.9894190112e-1F;
  Vector q = u * 1.1851331663e-6F + 8.1009241408e-5F;
  q = q * u + 2.0033364584e-3F;
  q = q * u + 2.9803806172e-2F;
  q = q * u + 2.5651769886e-1F;
  q = q * u + 1.0F;
  const Vector inside = x * (x * (p / q) + 0.5F);
  const Vector not_below = x < -kEnd ? x * 0.0F : inside;
  x = x > kEnd ? x : not_below;
}

}  // namespace ml_worker
