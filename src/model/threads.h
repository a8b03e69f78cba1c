// The cores that forward passes on the CPU share; libtorch's settings, which are the process's.
//
// A pass that is alone computes with all cores, so that a lone text is answered soonest. When
// several run, each that starts takes its part of the cores and no more: with one thread it waits
// for no other, which is the most that the cores can do (docs/BENCHMARKS.md). Vectors do not depend
// on it.
#pragma once

#include <cstddef>

namespace ml_worker {

/// `threads`: of all passes together, 0 for all cores. Throws StartupError(ExitCode::model) where
/// libtorch lacks what models on the CPU need.
void prepare_threads(int threads);

/// How many passes are to run at the same time: `wanted`, but no more than there are threads; 0: as
/// many as pay.
std::size_t passes_at_once(int wanted);

/// Made by each pass on its own thread before it calls into libtorch.
class ComputeShare {
 public:
  ComputeShare();
  ~ComputeShare();
  ComputeShare(const ComputeShare&) = delete;
  ComputeShare& operator=(const ComputeShare&) = delete;
};

}  // namespace ml_worker
