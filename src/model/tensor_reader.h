// Takes layers out of the weights: whoever takes a tensor says which shape it must have.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>

#include "model/kernels.h"
#include "model/layers.h"
#include "model/weights.h"

namespace ml_worker {

class TensorReader {
 public:
  /// Names are looked up behind `prefix`. What is made of the weights is for `kernels`.
  TensorReader(const Weights& weights, std::string prefix, Kernels kernels)
      : weights_(weights), prefix_(std::move(prefix)), kernels_(std::move(kernels)) {}

  bool has(const std::string& name) const { return weights_.has(prefix_ + name); }
  /// float32 on the CPU; a view of the file where it can be. Not counted: what is made of it is.
  /// Throws StartupError(ExitCode::model).
  at::Tensor peek(const std::string& name, std::initializer_list<std::int64_t> shape) const;

  Linear linear(const std::string& name, std::int64_t in, std::int64_t out, bool bias);
  Linear linear(const at::Tensor& weight, const at::Tensor& bias);
  /// For rows of `type`: the CPU's kernels want float32 weights whatever the rows are, those of
  /// other devices want the rows' own type.
  LayerNorm norm(const std::string& name, std::int64_t size, double epsilon, bool bias,
                 at::ScalarType type);
  /// A table of embeddings: with the CPU's kernels as it is (the file's view), else in the layers'
  /// type on their device.
  at::Tensor table(const at::Tensor& rows);

  /// Held by what was taken so far.
  std::size_t bytes() const { return bytes_; }
  const Kernels& kernels() const { return kernels_; }

 private:
  const Weights& weights_;
  std::string prefix_;
  Kernels kernels_;
  std::size_t bytes_ = 0;
};

}  // namespace ml_worker
