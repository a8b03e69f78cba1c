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
template <typename Signature>
c10::TypedOperatorHandle<Signature> find(const char* name, const char* overload = "") {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, overload).typed<Signature>();
}

}  // namespace ml_worker::onednn
