// x·Wᵀ + b of 8-bit integers on the CPU, with a scale per row of x and one per row of W. Sums are
// exact.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "model/panel_product.h"

namespace ml_worker {

/// What multiplies four bytes of x by four of W and adds the products to a sum.
enum class Int8Kernel {
  portable,     ///< plain C++
  avx2,         ///< adds pairs of products in 16 bits: they would saturate if W took all of 8 bits
  avx512_vnni,  ///< one instruction
};

/// The machine's fastest.
Int8Kernel int8_kernel();

/// The largest absolute value of an 8-bit number here: that of both signs.
constexpr int kInt8Largest = 127;

/// The largest absolute value of W's numbers: kInt8Largest, or 63 where the kernel takes no more.
int largest_weight(Int8Kernel kernel);

/// W, its scales and b as the kernel reads them.
class PackedInt8Weights {
 public:
  /// `weight`: [out, in], row-major, which is rounded here; `bias`: [out], or empty for zeros.
  PackedInt8Weights(std::span<const float> weight, std::span<const float> bias, std::size_t out,
                    Int8Kernel kernel = int8_kernel());

  std::size_t out() const { return out_; }
  std::size_t in() const { return in_; }
  /// Words of a row of x.
  std::size_t steps() const { return steps_; }
  std::size_t bytes() const;

 private:
  friend struct Int8Product;

  /// Row `index` of W.
  void pack(std::span<const float> row, std::size_t index);

  Int8Kernel kernel_;
  std::size_t out_;
  std::size_t in_;
  std::size_t steps_;
  std::vector<std::int32_t> weight_;  ///< [panels, steps, kPanel]: four successive columns each
  std::vector<std::int32_t> shifts_;  ///< [panels, kPanel]: what is too much in each sum
  std::vector<float> scales_;         ///< [panels, kPanel]
  std::vector<float> bias_;           ///< [panels, kPanel]
};

/// A row of x for the kernels. `row`: [in]; `words`: [steps()], four successive columns each.
/// Returns the row's scale, which is NaN where the row is not finite.
float quantize_row(std::span<const float> row, std::span<std::int32_t> words);

struct Int8Product {
  const PackedInt8Weights& weights;
  const std::int32_t* x;  ///< [rows, steps], by quantize_row()
  const float* scales;    ///< [rows], from quantize_row()
  float* y;               ///< [rows, out], row-major
  Epilogue epilogue = Epilogue::none;
  const float* other = nullptr;  ///< [rows, out]: what `add` adds and `multiply` multiplies by

  /// These rows and panels of y; other calls may compute others at the same time.
  void compute(Range rows, Range panels) const;
};

}  // namespace ml_worker
