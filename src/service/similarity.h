// Cosines between vectors that are there.
#pragma once

#include "ml_worker/service.h"

namespace ml_worker {

/// Most cosines of one call.
constexpr std::size_t kMaxCosines = 4000000;

/// What similarity() answers, out of the vectors of the first side and those of the second: a row
/// of cosines (in float32) for each of the first; where the second is a single text, or the first
/// is, one dimension less. To be given to prediction() with `single` as in the result.
struct Similarities {
  VectorsReply reply;
  bool single = false;
};
Similarities similarities(const VectorsReply& vectors, std::size_t first_count, bool first_single,
                          bool second_single);

}  // namespace ml_worker
