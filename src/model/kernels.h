// What the layers know of the device that they are for: where their weights go, in which type, and
// which kernels they call. Everything else is the same on every device.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>

#include "model/precision.h"

namespace ml_worker {

/// Attention over texts of any lengths, side by side, in one call. `qkv`: [tokens, 3, heads, head
/// size]; `bounds`: [texts + 1] int32 on the device, where each text begins and the last one ends;
/// a text may be empty. `longest`: no text is longer. `window`: tokens further away than that are
/// not seen; below 0: all are. Result: [tokens, heads, head size].
using VarlenAttention = std::function<at::Tensor(const at::Tensor& qkv, const at::Tensor& bounds,
                                                 std::int64_t longest, std::int64_t window)>;

struct LayerNorm;

/// LayerNorm of x + y; both [rows, hidden], contiguous, in the type of its weights.
using NormOfSum =
    std::function<at::Tensor(const at::Tensor& x, const at::Tensor& y, const LayerNorm& norm)>;

struct Kernels {
  Kernels(Precision of_layers) : precision(of_layers) {}

  at::Device device{at::kCPU};
  Precision precision;
  /// Those of libtorch that only the CPU has (oneDNN's, flash attention): their results do not
  /// depend on a text's neighbours. Else those that ATen has for any device.
  bool only_cpu = true;
  /// Empty: texts of equal length at once. Takes no masks.
  VarlenAttention varlen;
  /// Empty: one after the other.
  NormOfSum norm_of_sum;
};

/// Of the numbers that pass between layers.
at::ScalarType scalar_type(Precision precision);

/// `tensor` (on the CPU) where the layers want it, in their type.
inline at::Tensor on_device(const at::Tensor& tensor, const Kernels& kernels) {
  return tensor.to(kernels.device, scalar_type(kernels.precision));
}

}  // namespace ml_worker
