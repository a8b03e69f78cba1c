// The types that a forward pass computes in, and which of them this machine has.
#pragma once

#include "ml_worker/encoder.h"

namespace ml_worker {

enum class Precision { float32, bfloat16, float16, int8 };

const char* name_of(Precision precision);

/// What a CPU can do, as far as it matters here.
struct CpuFeatures {
  bool avx2 = false;
  bool avx512 = false;
  bool avx512_bf16 = false;
  bool avx512_fp16 = false;
  bool amx = false;  ///< bfloat16 tiles
};
CpuFeatures cpu_features();

/// What `dtype` means on such a CPU: `automatic` is float32, and so is bfloat16 where the CPU
/// cannot compute in it; that, and a type that would be slow, is warned of in the log. Throws
/// StartupError(ExitCode::usage) for float16 where it is not there.
Precision choose_precision(Dtype dtype, const CpuFeatures& cpu);

/// The same on a GPU: `automatic` is float16. `compute_capability`: ten times the major number plus
/// the minor one.
Precision choose_cuda_precision(Dtype dtype, int compute_capability);

}  // namespace ml_worker
