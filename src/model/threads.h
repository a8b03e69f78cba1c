// libtorch's settings, which are the process's.
#pragma once

namespace ml_worker {

/// `threads`: of one forward pass, 0 for all cores. Throws StartupError(ExitCode::model) where
/// libtorch lacks what models on the CPU need.
void prepare_threads(int threads);

}  // namespace ml_worker
