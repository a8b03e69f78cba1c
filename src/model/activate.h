// Activation functions on ATen's kernels, for layers that cannot fuse them.
#pragma once

#include <ATen/core/Tensor.h>

#include "model/activation.h"

namespace ml_worker {

/// In place, element by element.
void activate(const at::Tensor& rows, Activation activation);

/// On all threads. A row's result does not depend on the other rows.
void activate_rows(const at::Tensor& rows, Activation activation);

}  // namespace ml_worker
