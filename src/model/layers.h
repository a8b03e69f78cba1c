// The layers that all architectures share, on libtorch and oneDNN. Rows are tokens (or texts), and
// a row's result does not depend on what the other rows are, nor on how many there are.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "model/activation.h"
#include "model/int8_linear.h"
#include "model/precision.h"

namespace ml_worker {

/// Of the numbers that pass between layers.
at::ScalarType scalar_type(Precision precision);

/// x·Wᵀ + b, W in oneDNN's own layout. at::linear goes through MKL, whose sums depend on how many
/// rows there are: a text's vector would change with its neighbours.
class Linear {
 public:
  /// `weight`: [out, in], `bias`: [out] or undefined; both float32.
  Linear(const at::Tensor& weight, const at::Tensor& bias, Precision precision);

  /// `x`: [rows, in]; result: [rows, out].
  at::Tensor apply(const at::Tensor& x, Activation activation = Activation::identity) const;
  /// (x·Wᵀ + b) + other; `other`: [rows, out].
  at::Tensor apply_add(const at::Tensor& x, const at::Tensor& other) const;
  /// (x·Wᵀ + b) · other, element by element.
  at::Tensor apply_multiply(const at::Tensor& x, const at::Tensor& other) const;

  std::size_t bytes() const { return bytes_; }

 private:
  at::Tensor apply_with(const at::Tensor& x, const at::Tensor& other, std::string_view name) const;

  std::optional<Int8Linear> int8_;  ///< instead of the next two
  at::Tensor weight_;
  std::optional<at::Tensor> bias_;
  std::int64_t out_;
  std::size_t bytes_;
};

struct LayerNorm {
  at::Tensor weight;
  at::Tensor bias;  ///< undefined: none
  double epsilon = 0;

  at::Tensor apply(const at::Tensor& x) const;
};

}  // namespace ml_worker
