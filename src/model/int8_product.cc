#include "model/int8_product.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "ml_worker/vector_width.h"

namespace ml_worker {
namespace {

using Ints4 = std::int32_t __attribute__((vector_size(16)));
using Ints8 = std::int32_t __attribute__((vector_size(32)));
using Ints16 = std::int32_t __attribute__((vector_size(64)));

/// What bytes of x hold for 0: the instruction takes them unsigned.
constexpr int kZero = 128;

constexpr std::size_t kInWord = 4;

/// The largest absolute value; not finite if one is not. Bit patterns without the sign are in the
/// order of the values, and integers are what compilers find the largest of in vector registers.
ML_WORKER_FOR_EACH_VECTOR_WIDTH
float largest_of(const float* row, std::size_t size) {
  std::int32_t largest = 0;
  for (std::size_t i = 0; i < size; ++i) {
    largest = std::max(largest, std::bit_cast<std::int32_t>(row[i]) & INT32_MAX);
  }
  return std::bit_cast<float>(largest);
}

ML_WORKER_FOR_EACH_VECTOR_WIDTH
void quantize(const float* row, std::size_t size, float inverse, std::uint8_t* to) {
  for (std::size_t i = 0; i < size; ++i) {
    // Adding 128.5 and cutting rounds to the nearest: what is cut is positive.
    to[i] = static_cast<std::uint8_t>(static_cast<int>(row[i] * inverse + (kZero + 0.5F)));
  }
}

struct Scales {
  const float* rows;
  const float* columns;
  const std::int32_t* shifts;
};

template <typename Ints, typename Register, std::size_t kRowsOfTile, std::size_t kPanelsOfTile>
struct Int8Tile {
  using Word = std::int32_t;
  using Vector = Ints;
  using Floats = Register;
  static constexpr std::size_t kRows = kRowsOfTile;
  static constexpr std::size_t kPanels = kPanelsOfTile;

  Scales scales;

  ML_WORKER_INLINE void to_floats(const Vector& sums, std::size_t row, std::size_t column,
                                  Floats& numbers) const {
    Vector shift;
    Floats scale;
    load(scales.shifts + column, shift);
    load(scales.columns + column, scale);
    numbers = __builtin_convertvector(sums - shift, Floats) * (scale * scales.rows[row]);
  }
};

struct PortableTile : Int8Tile<Ints4, Floats4, 3, 1> {
  ML_WORKER_INLINE static void multiply_add(Ints4& sums, std::int32_t factor,
                                            const Ints4& weights) {
#pragma GCC unroll 4
    for (int bits = 0; bits < 32; bits += 8) {
      sums += ((weights << (24 - bits)) >> 24) * ((factor >> bits) & 0xFF);
    }
  }
};

// In assembly, for an intrinsic is inlined only into functions that are themselves declared for the
// instruction, and the templates are not.

struct Avx2Tile : Int8Tile<Ints8, Floats8, 6, 1> {
  ML_WORKER_INLINE static void multiply_add(Ints8& sums, std::int32_t factor,
                                            const Ints8& weights) {
#if defined(__x86_64__)
    const Ints8 factors = Ints8{} + factor;
    const Ints8 ones = Ints8{} + 0x00010001;
    Ints8 products;
    __asm__("vpmaddubsw %2, %1, %0" : "=x"(products) : "x"(factors), "x"(weights));
    __asm__("vpmaddwd %1, %0, %0" : "+x"(products) : "xm"(ones));
    sums += products;
#endif
  }
};

struct VnniTile : Int8Tile<Ints16, Floats16, 8, 2> {
  ML_WORKER_INLINE static void multiply_add(Ints16& sums, std::int32_t factor,
                                            const Ints16& weights) {
#if defined(__x86_64__)
    const Ints16 factors = Ints16{} + factor;
    Ints16 more = sums;  // a sum of the tile's as the operand itself would be kept in memory
    __asm__("vpdpbusd %2, %1, %0" : "+v"(more) : "v"(factors), "v"(weights));
    sums = more;
#endif
  }
};

using Input = ProductInput<std::int32_t>;

void compute_portable(const Scales& scales, const Input& input, const ProductOutput& output,
                      Range rows, Range panels) {
  compute_product(PortableTile{{scales}}, input, output, rows, panels);
}

ML_WORKER_32_BYTES void compute_avx2(const Scales& scales, const Input& input,
                                     const ProductOutput& output, Range rows, Range panels) {
  compute_product(Avx2Tile{{scales}}, input, output, rows, panels);
}

ML_WORKER_64_BYTES void compute_vnni(const Scales& scales, const Input& input,
                                     const ProductOutput& output, Range rows, Range panels) {
  compute_product(VnniTile{{scales}}, input, output, rows, panels);
}

}  // namespace

Int8Kernel int8_kernel() {
#if defined(__x86_64__)
  if (vector_width() == VectorWidth::bytes64 && __builtin_cpu_supports("avx512vnni") != 0) {
    return Int8Kernel::avx512_vnni;
  }
  if (vector_width() >= VectorWidth::bytes32) return Int8Kernel::avx2;
#endif
  return Int8Kernel::portable;
}

int largest_weight(Int8Kernel kernel) {
  // 2 · 255 · 63 is still below 2^15.
  return kernel == Int8Kernel::avx2 ? 63 : kInt8Largest;
}

PackedInt8Weights::PackedInt8Weights(std::span<const float> weight, std::span<const float> bias,
                                     std::size_t out, Int8Kernel kernel)
    : kernel_(kernel),
      out_(out),
      in_(weight.size() / out),
      steps_((in_ + kInWord - 1) / kInWord),
      weight_(panels_of(out) * steps_ * kPanel),
      shifts_(panels_of(out) * kPanel),
      scales_(panels_of(out) * kPanel),
      bias_(panels_of(out) * kPanel) {
  std::copy(bias.begin(), bias.end(), bias_.begin());
  for (std::size_t i = 0; i < out; ++i) pack(weight.subspan(i * in_, in_), i);
}

void PackedInt8Weights::pack(std::span<const float> row, std::size_t index) {
  const float largest = largest_of(row.data(), row.size());
  // A row that is not finite comes out so: its scale does.
  const float scale = largest / static_cast<float>(largest_weight(kernel_));
  scales_[index] = scale;
  auto* bytes = reinterpret_cast<std::int8_t*>(weight_.data());
  for (std::size_t j = 0; j < row.size(); ++j) {
    const float number = largest > 0.0F && std::isfinite(largest) ? row[j] / scale : 0.0F;
    const auto rounded = static_cast<std::int8_t>(std::lrint(number));
    const std::size_t word = (index / kPanel * steps_ + j / kInWord) * kPanel + index % kPanel;
    bytes[word * kInWord + j % kInWord] = rounded;
    shifts_[index] += kZero * rounded;
  }
}

std::size_t PackedInt8Weights::bytes() const {
  return (weight_.size() + shifts_.size() + scales_.size() + bias_.size()) * sizeof(float);
}

float quantize_row(std::span<const float> row, std::span<std::int32_t> words) {
  float largest = largest_of(row.data(), row.size());
  // A row that is not finite comes out so: its scale does.
  if (!std::isfinite(largest)) largest = std::numeric_limits<float>::quiet_NaN();
  words.back() = 0;  // of which not all may be filled
  quantize(row.data(), row.size(), largest > 0.0F ? kInt8Largest / largest : 0.0F,
           reinterpret_cast<std::uint8_t*>(words.data()));
  return largest / kInt8Largest;
}

void Int8Product::compute(Range rows, Range panels) const {
  const Scales all{scales, weights.scales_.data(), weights.shifts_.data()};
  const Input input{x, weights.weight_.data(), weights.steps_};
  const ProductOutput output{y, weights.out_, weights.bias_.data(), epilogue, other};
  switch (weights.kernel_) {
    case Int8Kernel::portable:
      return compute_portable(all, input, output, rows, panels);
    case Int8Kernel::avx2:
      return compute_avx2(all, input, output, rows, panels);
    case Int8Kernel::avx512_vnni:
      return compute_vnni(all, input, output, rows, panels);
  }
}

}  // namespace ml_worker
