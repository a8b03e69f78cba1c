#include "model/device_fault.h"

#include <catch2/catch.hpp>

using namespace ml_worker;

TEST_CASE("codes of the CUDA runtime: what ends the batch, the budget, the process") {
  CHECK(classify_device_error(2, "CUDA error: out of memory") == DeviceFault::out_of_memory);
  for (const int code : {46, 214, 226, 700, 702, 710, 714, 715, 716, 717, 718, 719, 999}) {
    INFO(code);
    CHECK(classify_device_error(code, "CUDA error") == DeviceFault::lost);
  }
  // Invalid value, invalid configuration, no kernel image, not ready: the next batch may go.
  for (const int code : {1, 9, 209, 600}) {
    INFO(code);
    CHECK(classify_device_error(code, "CUDA error") == DeviceFault::batch);
  }
}

TEST_CASE("errors without a code are told by their text") {
  const auto fault = [](const char* what) { return classify_device_error(std::nullopt, what); };
  CHECK(fault("CUDA out of memory. Tried to allocate 20.00 MiB.") == DeviceFault::out_of_memory);
  CHECK(fault("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`") ==
        DeviceFault::out_of_memory);
  CHECK(fault("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling") == DeviceFault::lost);
  CHECK(fault("CUDA error: an illegal memory access was encountered") == DeviceFault::lost);
  CHECK(fault("CUDA error: unspecified launch failure") == DeviceFault::lost);
  CHECK(fault("CUDA error: device-side assert triggered") == DeviceFault::lost);
  CHECK(fault("mat1 and mat2 shapes cannot be multiplied") == DeviceFault::batch);
}

TEST_CASE("each fault has its exception") {
  CHECK_THROWS_AS(throw_device_fault(DeviceFault::out_of_memory, "full"), OutOfDeviceMemory);
  CHECK_THROWS_WITH(throw_device_fault(DeviceFault::lost, "gone"), "device lost: gone");
  CHECK_THROWS_AS(throw_device_fault(DeviceFault::lost, "gone"), DeviceLost);
  CHECK_THROWS_WITH(throw_device_fault(DeviceFault::batch, "shapes"), "shapes");
  CHECK_THROWS_AS(throw_device_fault(DeviceFault::batch, "shapes"), std::runtime_error);
}
