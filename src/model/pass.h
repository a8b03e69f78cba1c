// One forward pass as the transformer takes it: the texts, and the same as tensors on its device.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "model/packing.h"

namespace ml_worker {

/// Tensors: int32, on the transformer's device. Those that an architecture does not read may be
/// undefined. `packing` is read only where texts of equal length are taken together.
struct Pass {
  const Packing& packing;
  at::Tensor ids;            ///< [tokens]
  at::Tensor rows;           ///< [tokens] of the table of positions (embedding.h)
  at::Tensor places;         ///< [tokens] in the text, from 0
  at::Tensor bounds;         ///< [texts + 1], text_bounds()
  std::int64_t longest = 0;  ///< no text is longer
};

}  // namespace ml_worker
