// Attention over texts of any lengths in one call, on a GPU.
#pragma once

#include "model/kernels.h"

namespace ml_worker {

/// Whether flash_attention() takes heads of this size, on a GPU of this compute capability (ten
/// times the major number plus the minor one).
bool has_flash_attention(std::int64_t head_size, Precision precision, int compute_capability);

/// libtorch's FlashAttention 2: a VarlenAttention.
at::Tensor flash_attention(const at::Tensor& qkv, const at::Tensor& bounds, std::int64_t longest,
                           std::int64_t window);

}  // namespace ml_worker
