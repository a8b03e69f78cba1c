#include "model/vector_registers.h"

namespace ml_worker {

VectorWidth vector_width() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") != 0) return VectorWidth::bytes64;
  if (__builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0) {
    return VectorWidth::bytes32;
  }
#endif
  return VectorWidth::bytes16;
}

}  // namespace ml_worker
