// x·Wᵀ + b with W in oneDNN's own layout, on the CPU. at::linear goes through MKL there, whose sums
// depend on how many rows there are: a text's vector would change with its neighbours.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "model/activation.h"

namespace ml_worker {

class OnednnLinear {
 public:
  /// `weight`: [out, in], `bias`: [out] or undefined; both float32. Computes in `type`.
  OnednnLinear(const at::Tensor& weight, const at::Tensor& bias, at::ScalarType type);

  /// As those of Linear.
  at::Tensor apply(const at::Tensor& x, Activation activation) const;
  at::Tensor apply_add(const at::Tensor& x, const at::Tensor& other) const;
  at::Tensor apply_multiply(const at::Tensor& x, const at::Tensor& other) const;

  std::size_t bytes() const { return bytes_; }

 private:
  at::Tensor apply_with(const at::Tensor& x, const at::Tensor& other, std::string_view name) const;

  at::Tensor weight_;
  std::optional<at::Tensor> bias_;
  std::int64_t out_;
  std::size_t bytes_;
};

}  // namespace ml_worker
