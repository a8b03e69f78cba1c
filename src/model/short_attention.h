// Attention of short texts on the CPU, without what libtorch's spends on a call: for a text of a
// dozen tokens that is ten times the attention itself.
#pragma once

#include <cstddef>
#include <cstdint>

#include "model/vector_registers.h"

namespace ml_worker {

/// Whether attend_short() is for texts of `length` tokens and heads of `head_size` elements.
bool is_for_short_attention(std::size_t length, std::int64_t head_size);

/// softmax(QKᵀ/√d)·V of `texts` texts of `length` tokens, in `heads` heads of `size` elements. The
/// bytes of a text depend on its own rows only. `qkv`: row-major [texts · length, 3 · heads ·
/// size], queries, keys and values side by side; `context`: [texts · length, heads · size].
/// REQUIRES: is_for_short_attention().
void attend_short(const float* qkv, std::size_t texts, std::size_t length, std::size_t heads,
                  std::size_t size, float* context, VectorWidth width = vector_width());

}  // namespace ml_worker
