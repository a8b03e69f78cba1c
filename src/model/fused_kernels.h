// Kernels of our own in place of libtorch's, for GPUs (src/cuda/kernels.cu).
#pragma once

#include <cstddef>
#include <memory>

#include "ml_worker/device.h"
#include "model/architecture.h"
#include "model/kernels.h"

namespace ml_worker {

/// Whether there are any for such a model on such a GPU: numbers of 16 bits, heads of 32 or 64,
/// rows of up to 2,048 that are a multiple of 8, compute capability 8.0.
bool has_fused_kernels(const TransformerConfig& config, Precision precision,
                       int compute_capability);

/// Attention of texts of at most 128 tokens by `program`, longer ones as before: FlashAttention
/// takes 128 queries at once and leaves most of a GPU idle where texts are short. Sum and LayerNorm
/// in one go, which read and write the states once. `program` is for the same types and sizes.
void use_fused_kernels(std::shared_ptr<DeviceProgram> program, Kernels& kernels);

}  // namespace ml_worker
