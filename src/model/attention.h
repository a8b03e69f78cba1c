// Attention over packed texts: softmax(QKᵀ/√d + mask)·V within each text. No text sees another and
// none is padded.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>

#include "model/kernels.h"
#include "model/packing.h"

namespace ml_worker {

/// What is added to the scores of texts of `length` tokens: [1, 1 or heads, length, length], or
/// undefined for nothing.
using AttentionMask = std::function<at::Tensor(std::int64_t length)>;

/// Of masks: float32 for the CPU's kernels, else as the layers have it.
at::TensorOptions mask_options(const Kernels& kernels);

/// Texts of equal length at once. `qkv`: [tokens, 3 · hidden], queries, keys and values side by
/// side; result: [tokens, hidden].
at::Tensor attend(const at::Tensor& qkv, std::int64_t heads, const Packing& packing,
                  const AttentionMask& mask, const Kernels& kernels);

/// MPNet's (T5's) bias by bucketed distance.
class RelativeBias {
 public:
  /// `table`: [32, heads] float32; for texts of up to `longest` tokens.
  RelativeBias(const at::Tensor& table, std::int64_t longest, const Kernels& kernels);
  at::Tensor mask(std::int64_t length) const;

 private:
  at::Tensor bias_;  ///< [1, heads, longest, longest]
};

/// Masks that let a token see those at most `window` away. One object per forward pass: it keeps
/// what it made.
class LocalMask {
 public:
  LocalMask(std::int64_t window, const Kernels& kernels)
      : window_(window), options_(mask_options(kernels)) {}
  at::Tensor mask(std::int64_t length);

 private:
  std::int64_t window_;
  at::TensorOptions options_;
  std::map<std::int64_t, at::Tensor> made_;
};

/// Turns queries and keys by an angle that grows with their place.
class Rotary {
 public:
  Rotary(double base, std::int64_t head_size, std::int64_t longest, at::Device device);
  /// In place, on queries and keys of `qkv` ([tokens, 3 · hidden]). `places`: [tokens] int32.
  void apply(const at::Tensor& qkv, std::int64_t heads, const at::Tensor& places) const;

 private:
  at::Tensor cosines_;  ///< [longest, head_size / 2] float32
  at::Tensor sines_;
};

}  // namespace ml_worker
