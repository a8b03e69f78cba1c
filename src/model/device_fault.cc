#include "model/device_fault.h"

#include <algorithm>
#include <array>
#include <stdexcept>

namespace ml_worker {
namespace {

/// cudaError_t ("CUDA Runtime API", data types): numbers that are part of the interface.
constexpr int kMemoryAllocation = 2;

/// After these "the process must be terminated and relaunched", or the device is gone.
constexpr std::array<int, 20> kLost = {
    4,    // cudaErrorCudartUnloading
    46,   // cudaErrorDevicesUnavailable
    100,  // cudaErrorNoDevice
    201,  // cudaErrorDeviceUninitialized
    214,  // cudaErrorECCUncorrectable
    220,  // cudaErrorNvlinkUncorrectable
    226,  // cudaErrorContained
    700,  // cudaErrorIllegalAddress
    702,  // cudaErrorLaunchTimeout
    709,  // cudaErrorContextIsDestroyed
    710,  // cudaErrorAssert
    714,  // cudaErrorHardwareStackError
    715,  // cudaErrorIllegalInstruction
    716,  // cudaErrorMisalignedAddress
    717,  // cudaErrorInvalidAddressSpace
    718,  // cudaErrorInvalidPc
    719,  // cudaErrorLaunchFailure
    721,  // cudaErrorTensorMemoryLeak
    802,  // cudaErrorSystemNotReady
    999,  // cudaErrorUnknown
};

/// What errors without a code say.
constexpr std::array<std::string_view, 3> kMemoryTexts = {
    "CUDA out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED"};
constexpr std::array<std::string_view, 6> kLostTexts = {
    "illegal memory access", "unspecified launch failure",     "device-side assert",
    "misaligned address",    "CUBLAS_STATUS_EXECUTION_FAILED", "uncorrectable ECC error"};

template <std::size_t N>
bool contains_any(std::string_view what, const std::array<std::string_view, N>& texts) {
  return std::any_of(texts.begin(), texts.end(), [what](std::string_view text) {
    return what.find(text) != std::string_view::npos;
  });
}

}  // namespace

DeviceFault classify_device_error(std::optional<int> code, std::string_view what) {
  if (code) {
    if (*code == kMemoryAllocation) return DeviceFault::out_of_memory;
    if (std::find(kLost.begin(), kLost.end(), *code) != kLost.end()) return DeviceFault::lost;
  }
  if (contains_any(what, kMemoryTexts)) return DeviceFault::out_of_memory;
  return contains_any(what, kLostTexts) ? DeviceFault::lost : DeviceFault::batch;
}

void throw_device_fault(DeviceFault fault, const std::string& what) {
  switch (fault) {
    case DeviceFault::out_of_memory:
      throw OutOfDeviceMemory(what);
    case DeviceFault::lost:
      throw DeviceLost("device lost: " + what);
    case DeviceFault::batch:
      break;
  }
  throw std::runtime_error(what);
}

}  // namespace ml_worker
