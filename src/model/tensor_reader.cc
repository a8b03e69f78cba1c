#include "model/tensor_reader.h"

#include <ATen/ops/from_blob.h>

#include <utility>
#include <vector>

namespace ml_worker {

at::Tensor TensorReader::peek(const std::string& name,
                              std::initializer_list<std::int64_t> shape) const {
  const std::vector<std::int64_t> sizes(shape);
  auto data = weights_.floats(prefix_ + name, sizes);
  auto* elements = const_cast<float*>(data.get());  // from_blob only reads here
  return at::from_blob(
      elements, sizes, [data](void* /*unused*/) {}, at::TensorOptions(at::kFloat));
}

Linear TensorReader::linear(const at::Tensor& weight, const at::Tensor& bias) {
  Linear result(weight, bias, kernels_);
  bytes_ += result.bytes();
  return result;
}

Linear TensorReader::linear(const std::string& name, std::int64_t in, std::int64_t out, bool bias) {
  return linear(peek(name + ".weight", {out, in}),
                bias ? peek(name + ".bias", {out}) : at::Tensor());
}

LayerNorm TensorReader::norm(const std::string& name, std::int64_t size, double epsilon, bool bias,
                             at::ScalarType type) {
  // Checkpoints from TensorFlow's days call them so, and transformers reads them.
  const bool old = !has(name + ".weight") && has(name + ".gamma");
  const auto take = [&](const char* part) {
    const at::Tensor vector = peek(name + part, {size});
    at::Tensor placed = kernels_.only_cpu ? vector : vector.to(kernels_.device, type);
    bytes_ += placed.nbytes();
    return placed;
  };
  LayerNorm norm;
  norm.weight = take(old ? ".gamma" : ".weight");
  if (bias) norm.bias = take(old ? ".beta" : ".bias");
  norm.epsilon = epsilon;
  return norm;
}

at::Tensor TensorReader::table(const at::Tensor& rows) {
  at::Tensor placed = kernels_.only_cpu ? rows : on_device(rows, kernels_);
  bytes_ += placed.nbytes();
  return placed;
}

}  // namespace ml_worker
