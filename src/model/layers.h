// The layers that all architectures share. Rows are tokens (or texts). With the CPU's kernels a
// row's result does not depend on what the other rows are, nor on how many there are.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <variant>

#include "model/activation.h"
#include "model/aten_linear.h"
#include "model/kernels.h"
#include "model/native_linear.h"
#include "model/onednn_linear.h"

namespace ml_worker {

/// x·Wᵀ + b.
class Linear {
 public:
  /// `weight`: [out, in], `bias`: [out] or undefined; both float32, on the CPU.
  Linear(const at::Tensor& weight, const at::Tensor& bias, const Kernels& kernels);

  /// `x`: [rows, in]; result: [rows, out].
  at::Tensor apply(const at::Tensor& x, Activation activation = Activation::identity) const;
  /// (x·Wᵀ + b) + other; `other`: [rows, out].
  at::Tensor apply_add(const at::Tensor& x, const at::Tensor& other) const;
  /// (x·Wᵀ + b) · other, element by element.
  at::Tensor apply_multiply(const at::Tensor& x, const at::Tensor& other) const;

  std::size_t bytes() const;

 private:
  std::variant<NativeLinear, OnednnLinear, AtenLinear> kernel_;
};

struct LayerNorm {
  at::Tensor weight;
  at::Tensor bias;  ///< undefined: none
  double epsilon = 0;

  at::Tensor apply(const at::Tensor& x) const;
};

}  // namespace ml_worker
