// x·Wᵀ + b in 8-bit integers: a scale per column of the result (kept with the weights) and one per
// row (found as the row comes), so that a row's result does not depend on the other rows. Sums are
// exact integers.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>

#include "model/activation.h"

namespace ml_worker {

class Int8Linear {
 public:
  /// `weight`: [out, in], `bias`: [out] or undefined; both float32.
  Int8Linear(const at::Tensor& weight, const at::Tensor& bias);

  /// `x`: [rows, in] float32; result: [rows, out] float32.
  at::Tensor apply(const at::Tensor& x, Activation activation) const;
  /// As those of Linear.
  at::Tensor apply_add(const at::Tensor& x, const at::Tensor& other) const;
  at::Tensor apply_multiply(const at::Tensor& x, const at::Tensor& other) const;

  std::size_t bytes() const { return bytes_; }

 private:
  at::Tensor weight_;       ///< int8, in oneDNN's own layout
  at::Tensor scales_;       ///< [out] float32
  at::Tensor zero_points_;  ///< [out], all 0
  at::Tensor bias_;         ///< [out] float32
  std::size_t bytes_;
};

}  // namespace ml_worker
