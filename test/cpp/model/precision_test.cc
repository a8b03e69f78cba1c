#include "model/precision.h"

#include <catch2/catch.hpp>

#include "ml_worker/startup_error.h"

using namespace ml_worker;

TEST_CASE("float32 and int8 are for every CPU") {
  const CpuFeatures none;
  CHECK(choose_precision(Dtype::automatic, none) == Precision::float32);
  CHECK(choose_precision(Dtype::float32, none) == Precision::float32);
  CHECK(choose_precision(Dtype::int8, none) == Precision::int8);
}

TEST_CASE("float32 takes the place of bfloat16 on a CPU without AVX-512") {
  CpuFeatures cpu;
  cpu.avx2 = true;
  CHECK(choose_precision(Dtype::bfloat16, cpu) == Precision::float32);
  cpu.avx512 = true;
  CHECK(choose_precision(Dtype::bfloat16, cpu) == Precision::bfloat16);
}

TEST_CASE("float16 is refused on a CPU without instructions for it") {
  CpuFeatures cpu;
  cpu.avx512 = true;
  CHECK_THROWS_AS(choose_precision(Dtype::float16, cpu), StartupError);
  cpu.avx512_fp16 = true;
  CHECK(choose_precision(Dtype::float16, cpu) == Precision::float16);
}
