#include "model/layers.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/layer_norm.h>

#include <optional>

namespace ml_worker {
namespace {

using LinearKernel = std::variant<NativeLinear, OnednnLinear, AtenLinear>;

LinearKernel make_kernel(const at::Tensor& weight, const at::Tensor& bias, const Kernels& kernels) {
  if (!kernels.only_cpu) return AtenLinear(weight, bias, kernels);
  if (NativeLinear::takes(kernels.precision)) return NativeLinear(weight, bias, kernels.precision);
  return OnednnLinear(weight, bias, scalar_type(kernels.precision));
}

}  // namespace

Linear::Linear(const at::Tensor& weight, const at::Tensor& bias, const Kernels& kernels)
    : kernel_(make_kernel(weight, bias, kernels)) {}

at::Tensor Linear::apply(const at::Tensor& x, Activation activation) const {
  return std::visit([&](const auto& kernel) { return kernel.apply(x, activation); }, kernel_);
}

at::Tensor Linear::apply_add(const at::Tensor& x, const at::Tensor& other) const {
  return std::visit([&](const auto& kernel) { return kernel.apply_add(x, other); }, kernel_);
}

at::Tensor Linear::apply_multiply(const at::Tensor& x, const at::Tensor& other) const {
  return std::visit([&](const auto& kernel) { return kernel.apply_multiply(x, other); }, kernel_);
}

std::size_t Linear::bytes() const {
  return std::visit([](const auto& kernel) { return kernel.bytes(); }, kernel_);
}

at::Tensor LayerNorm::apply(const at::Tensor& x) const {
  return at::layer_norm(x, weight.sizes(), weight,
                        bias.defined() ? std::optional<at::Tensor>(bias) : std::nullopt, epsilon);
}

}  // namespace ml_worker
