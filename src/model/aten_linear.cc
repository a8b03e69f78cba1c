#include "model/aten_linear.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/linear.h>

#include "model/activate.h"

namespace ml_worker {

AtenLinear::AtenLinear(const at::Tensor& weight, const at::Tensor& bias, const Kernels& kernels)
    : weight_(on_device(weight, kernels)) {
  if (bias.defined()) bias_ = on_device(bias, kernels);
}

at::Tensor AtenLinear::apply(const at::Tensor& x, Activation activation) const {
  at::Tensor y = at::linear(x, weight_, bias_);
  activate(y, activation);
  return y;
}

at::Tensor AtenLinear::apply_add(const at::Tensor& x, const at::Tensor& other) const {
  return at::linear(x, weight_, bias_).add_(other);
}

at::Tensor AtenLinear::apply_multiply(const at::Tensor& x, const at::Tensor& other) const {
  return at::linear(x, weight_, bias_).mul_(other);
}

}  // namespace ml_worker
