// oneDNN's operators in libtorch, which have no C++ header: their registered types.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <optional>
#include <string_view>

namespace ml_worker::onednn {

using OptionalTensor = std::optional<at::Tensor>;
using Scalars = c10::List<std::optional<at::Scalar>>;

/// mkldnn::_linear_pointwise(X, W, B, attr, scalars, algorithm)
using Linear = at::Tensor(const at::Tensor&, const at::Tensor&, const OptionalTensor&,
                          std::string_view, Scalars, std::optional<std::string_view>);
/// mkldnn::_linear_pointwise.binary(X, other, W, B, attr)
using LinearBinary = at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                const OptionalTensor&, std::string_view);
/// mkldnn::_reorder_linear_weight(W, batch_size)
using ReorderWeight = at::Tensor(const at::Tensor&, std::optional<std::int64_t>);
/// onednn::qlinear_prepack(W, x_shape)
using QuantizedPrepack = at::Tensor(at::Tensor, std::optional<c10::List<std::int64_t>>);
/// onednn::qlinear_pointwise(X, x_scale, x_zero_point, W, w_scales, w_zero_points, B, y_scale,
/// y_zero_point, y_type, post_op, post_op_args, post_op_algorithm)
using QuantizedLinear = at::Tensor(at::Tensor, double, std::int64_t, at::Tensor, at::Tensor,
                                   at::Tensor, OptionalTensor, double, std::int64_t,
                                   std::optional<c10::ScalarType>, std::string_view, Scalars,
                                   std::string_view);

template <typename Signature>
c10::TypedOperatorHandle<Signature> find(const char* name, const char* overload = "") {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, overload).typed<Signature>();
}

}  // namespace ml_worker::onednn
