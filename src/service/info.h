// The values that info(), models() and metrics() answer. Every number in them is finite.
#pragma once

#include "ml_worker/value.h"
#include "service/core.h"

namespace ml_worker {

Value info_value(const Core& core);
/// What is loaded, and what could be: `loaded`, and `allowed` to be loaded by load_model().
Value models_value(const Core& core);
/// Histograms as `#{count, sum, buckets => [{UpTo, Count}]}`: the values of a bucket are at most
/// UpTo and above the UpTo before it; empty buckets at the end are left out.
Value metrics_value(const Core& core);

}  // namespace ml_worker
