#include "model/onednn_linear.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>

#include <stdexcept>
#include <utility>
#include <vector>

#include "model/onednn.h"

namespace ml_worker {
namespace {

/// oneDNN's name, and which of its two GELUs.
std::pair<std::string_view, std::optional<std::string_view>> fused_name(Activation activation) {
  switch (activation) {
    case Activation::identity:
      return {"none", std::nullopt};
    case Activation::gelu:
      return {"gelu", "none"};
    case Activation::gelu_tanh:
      return {"gelu", "tanh"};
    case Activation::relu:
      return {"relu", std::nullopt};
    case Activation::sigmoid:
      return {"sigmoid", std::nullopt};
    case Activation::silu:
      return {"swish", std::nullopt};
    case Activation::tanh:
      return {"tanh", std::nullopt};
  }
  throw std::logic_error("unknown activation");
}

/// One row goes through oneDNN's matrix-vector kernel, which sums in another order; two do not.
at::Tensor at_least_two(const at::Tensor& x) { return x.size(0) == 1 ? at::cat({x, x}) : x; }

at::Tensor first_rows(const at::Tensor& y, std::int64_t rows) {
  return y.size(0) == rows ? y : y.narrow(0, 0, rows);
}

/// So do fewer columns than these.
constexpr std::int64_t kLeastColumns = 16;

at::Tensor widened(const at::Tensor& x) {
  if (x.size(0) >= kLeastColumns) return x;
  std::vector<std::int64_t> sizes = x.sizes().vec();
  sizes[0] = kLeastColumns - x.size(0);
  return at::cat({x, at::zeros(sizes, x.options())});
}

/// For which oneDNN is to choose the layout of the weights. Without a number of rows it takes one
/// that costs a short text half as much again (float32).
constexpr std::int64_t kUsualRows = 512;

}  // namespace

OnednnLinear::OnednnLinear(const at::Tensor& weight, const at::Tensor& bias, at::ScalarType type)
    : out_(weight.size(0)),
      bytes_(static_cast<std::size_t>(weight.numel() + (bias.defined() ? bias.numel() : 0)) *
             c10::elementSize(type)) {
  static const auto reorder = onednn::find<onednn::ReorderWeight>("mkldnn::_reorder_linear_weight");
  weight_ = reorder.call(widened(weight).to(type), kUsualRows);
  if (bias.defined()) bias_ = widened(bias).to(type);
}

at::Tensor OnednnLinear::apply(const at::Tensor& x, Activation activation) const {
  static const auto op = onednn::find<onednn::Linear>("mkldnn::_linear_pointwise");
  const auto [name, algorithm] = fused_name(activation);
  const at::Tensor y = op.call(at_least_two(x), weight_, bias_, name, onednn::Scalars(), algorithm);
  return first_rows(y.size(1) == out_ ? y : y.narrow(1, 0, out_), x.size(0));
}

at::Tensor OnednnLinear::apply_add(const at::Tensor& x, const at::Tensor& other) const {
  if (out_ < kLeastColumns) return apply(x, Activation::identity) + other;
  return apply_with(x, other, "add");
}

at::Tensor OnednnLinear::apply_multiply(const at::Tensor& x, const at::Tensor& other) const {
  if (out_ < kLeastColumns) return apply(x, Activation::identity) * other;
  return apply_with(x, other, "mul");
}

at::Tensor OnednnLinear::apply_with(const at::Tensor& x, const at::Tensor& other,
                                    std::string_view name) const {
  static const auto op = onednn::find<onednn::LinearBinary>("mkldnn::_linear_pointwise", "binary");
  return first_rows(op.call(at_least_two(x), at_least_two(other), weight_, bias_, name), x.size(0));
}

}  // namespace ml_worker
