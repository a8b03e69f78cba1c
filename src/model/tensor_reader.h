// Takes layers out of the weights: whoever takes a tensor says which shape it must have.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "model/layers.h"
#include "model/precision.h"
#include "model/weights.h"

namespace ml_worker {

class TensorReader {
 public:
  /// Names are looked up behind `prefix`. Linear layers are for `precision`, all else is float32.
  TensorReader(const Weights& weights, std::string prefix, Precision precision)
      : weights_(weights), prefix_(std::move(prefix)), precision_(precision) {}

  bool has(const std::string& name) const { return weights_.has(prefix_ + name); }
  /// float32; a view of the file where it can be. Throws StartupError(ExitCode::model).
  at::Tensor tensor(const std::string& name, std::initializer_list<std::int64_t> shape);
  /// The same, not counted: what is copied is counted where the copy is.
  at::Tensor peek(const std::string& name, std::initializer_list<std::int64_t> shape) const;

  Linear linear(const std::string& name, std::int64_t in, std::int64_t out, bool bias);
  Linear linear(const at::Tensor& weight, const at::Tensor& bias);
  LayerNorm norm(const std::string& name, std::int64_t size, double epsilon, bool bias);

  /// Counts what was made of what was peeked at.
  void count(const at::Tensor& made) { bytes_ += made.nbytes(); }

  /// Held by what was taken so far.
  std::size_t bytes() const { return bytes_; }
  Precision precision() const { return precision_; }

 private:
  const Weights& weights_;
  std::string prefix_;
  Precision precision_;
  std::size_t bytes_ = 0;
};

}  // namespace ml_worker
