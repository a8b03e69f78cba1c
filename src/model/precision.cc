#include "model/precision.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <string>

#include "ml_worker/log.h"
#include "ml_worker/startup_error.h"

namespace ml_worker {
namespace {

[[noreturn]] void refuse(Precision precision, const std::string& needed) {
  throw StartupError(ExitCode::usage, std::string("dtype '") + name_of(precision) +
                                          "' needs a CPU with " + needed +
                                          ", which this one is not; use float32");
}

Precision bfloat16_or_float32(const CpuFeatures& cpu) {
  if (!cpu.avx512) {
    log::warning("this CPU has no AVX-512: float32 takes the place of bfloat16 on it");
    return Precision::float32;
  }
  if (!cpu.avx512_bf16 && !cpu.amx) {
    log::warning(
        "this CPU has no bfloat16 instructions (AVX512_BF16, AMX): bfloat16 is slower than "
        "float32 on it");
  }
  return Precision::bfloat16;
}

#if defined(__x86_64__)
/// Bits of CPUID's leaf 7, EDX ("CPUID — CPU Identification", Intel SDM volume 2A).
constexpr unsigned kAmxBf16 = 1U << 22U;
constexpr unsigned kAvx512Fp16 = 1U << 23U;

unsigned leaf7_edx() {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 ? edx : 0;
}
#endif

}  // namespace

const char* name_of(Precision precision) {
  switch (precision) {
    case Precision::float32:
      return "float32";
    case Precision::bfloat16:
      return "bfloat16";
    case Precision::float16:
      return "float16";
    case Precision::int8:
      return "int8";
  }
  return "?";
}

CpuFeatures cpu_features() {
  CpuFeatures cpu;
#if defined(__x86_64__)
  __builtin_cpu_init();
  cpu.avx2 = __builtin_cpu_supports("avx2") != 0;
  cpu.avx512 = __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0;
  cpu.avx512_bf16 = __builtin_cpu_supports("avx512bf16") != 0;
  // Newer than the names that every compiler knows.
  const unsigned leaf7 = leaf7_edx();
  cpu.avx512_fp16 = cpu.avx512 && (leaf7 & kAvx512Fp16) != 0;
  cpu.amx = (leaf7 & kAmxBf16) != 0;
#endif
  return cpu;
}

Precision choose_precision(Dtype dtype, const CpuFeatures& cpu) {
  switch (dtype) {
    case Dtype::automatic:
    case Dtype::float32:
      return Precision::float32;
    case Dtype::bfloat16:
      return bfloat16_or_float32(cpu);
    case Dtype::float16:
      if (!cpu.avx512_fp16) refuse(Precision::float16, "AVX512_FP16");
      return Precision::float16;
    case Dtype::int8:
      if (!cpu.avx2) log::warning("this CPU has no AVX2: int8 is slower than float32 on it");
      return Precision::int8;
  }
  throw StartupError(ExitCode::usage, "an unknown dtype");
}

Precision choose_cuda_precision(Dtype dtype, int compute_capability) {
  constexpr int kAmpere = 80;
  switch (dtype) {
    case Dtype::automatic:
    case Dtype::float16:
      return Precision::float16;
    case Dtype::float32:
      return Precision::float32;
    case Dtype::bfloat16:
      if (compute_capability < kAmpere) {
        throw StartupError(ExitCode::usage,
                           "dtype 'bfloat16' needs a GPU of compute capability 8.0 or higher, "
                           "which this one is not; use float16");
      }
      return Precision::bfloat16;
    case Dtype::int8:
      throw StartupError(
          ExitCode::usage,
          "dtype 'int8' is for the CPU (--device cpu); a GPU takes float16, bfloat16 "
          "or float32");
  }
  throw StartupError(ExitCode::usage, "an unknown dtype");
}

}  // namespace ml_worker
