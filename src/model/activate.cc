#include "model/activate.h"

#include <ATen/ops/gelu.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/tanh.h>

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

}  // namespace ml_worker
