// Activation functions on ATen's kernels, for layers that cannot fuse them.
#pragma once

#include <ATen/core/Tensor.h>

#include "model/activation.h"

namespace ml_worker {

/// In place, element by element.
void activate(const at::Tensor& rows, Activation activation);

}  // namespace ml_worker
