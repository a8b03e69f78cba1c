// x·Wᵀ + b on the CPU by our own kernels: float32 (MatrixProduct) and 8-bit integers (Int8Product),
// with a scale per row of W, kept with it, and one per row of x, found as the row comes. A row's
// result does not depend on the other rows.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <variant>

#include "model/activation.h"
#include "model/int8_product.h"
#include "model/matrix_product.h"
#include "model/precision.h"

namespace ml_worker {

class NativeLinear {
 public:
  /// Whether it computes in `precision`: float32 and int8.
  static bool takes(Precision precision) {
    return precision == Precision::float32 || precision == Precision::int8;
  }

  /// `weight`: [out, in], `bias`: [out] or undefined; both float32. REQUIRES: takes(`precision`).
  NativeLinear(const at::Tensor& weight, const at::Tensor& bias, Precision precision);

  /// As those of Linear, in float32.
  at::Tensor apply(const at::Tensor& x, Activation activation) const;
  at::Tensor apply_add(const at::Tensor& x, const at::Tensor& other) const;
  at::Tensor apply_multiply(const at::Tensor& x, const at::Tensor& other) const;

  std::size_t bytes() const;

 private:
  at::Tensor compute(const at::Tensor& x, Epilogue epilogue, const at::Tensor& other) const;

  std::variant<PackedWeights, PackedInt8Weights> weights_;
};

}  // namespace ml_worker
