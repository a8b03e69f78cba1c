#include "model/activate.h"

#include <ATen/Parallel.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/tanh.h>
#include <c10/core/InferenceMode.h>

#include <cstdint>

namespace ml_worker {

void activate(const at::Tensor& rows, Activation activation) {
  at::Tensor changed = rows;  // ATen's functions in place take a handle that is not const
  switch (activation) {
    case Activation::identity:
      return;
    case Activation::gelu:
      at::gelu_(changed);
      return;
    case Activation::gelu_tanh:
      at::gelu_(changed, "tanh");
      return;
    case Activation::relu:
      at::relu_(changed);
      return;
    case Activation::sigmoid:
      at::sigmoid_(changed);
      return;
    case Activation::silu:
      at::silu_(changed);
      return;
    case Activation::tanh:
      at::tanh_(changed);
      return;
  }
}

void activate_rows(const at::Tensor& rows, Activation activation) {
  if (activation == Activation::identity) return;
  // ATen's functions compute the end of a block otherwise than its middle, where blocks are not
  // made of whole vectors: then each row is a block of its own, so that its neighbours change
  // nothing.
  constexpr std::int64_t kVectors = 64;
  constexpr std::int64_t kAtOnce = 16;
  at::parallel_for(0, rows.size(0), kAtOnce, [&](std::int64_t begin, std::int64_t end) {
    const c10::InferenceMode inference;  // which the calling thread has: it is each thread's own
    const std::int64_t block = rows.size(1) % kVectors == 0 ? end - begin : 1;
    for (std::int64_t i = begin; i < end; i += block) {
      activate(rows.narrow(0, i, block), activation);
    }
  });
}

}  // namespace ml_worker
