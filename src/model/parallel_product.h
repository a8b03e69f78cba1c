// A product's parts on all threads.
#pragma once

#include <cstddef>
#include <functional>

#include "model/panel_product.h"

namespace ml_worker {

/// Calls `compute` for parts that together are `rows` rows of x·Wᵀ, W: [out, in].
void compute_in_parallel(std::size_t rows, std::size_t out, std::size_t in,
                         const std::function<void(Range rows, Range panels)>& compute);

}  // namespace ml_worker
