// x·Wᵀ + b by the kernels that ATen has for any device: on CUDA cuBLAS. A row's result may there
// depend on how many rows there are.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <optional>

#include "model/activation.h"
#include "model/kernels.h"

namespace ml_worker {

class AtenLinear {
 public:
  /// `weight`: [out, in], `bias`: [out] or undefined; both float32, on the CPU.
  AtenLinear(const at::Tensor& weight, const at::Tensor& bias, const Kernels& kernels);

  /// As those of Linear.
  at::Tensor apply(const at::Tensor& x, Activation activation) const;
  at::Tensor apply_add(const at::Tensor& x, const at::Tensor& other) const;
  at::Tensor apply_multiply(const at::Tensor& x, const at::Tensor& other) const;

  std::size_t bytes() const { return weight_.nbytes() + (bias_ ? bias_->nbytes() : 0); }

 private:
  at::Tensor weight_;
  std::optional<at::Tensor> bias_;
};

}  // namespace ml_worker
