// What an error of a GPU means: for this batch, for the budget of batches, or for the whole
// process.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "ml_worker/encoder.h"

namespace ml_worker {

/// The batch does not fit; a smaller one may.
class OutOfDeviceMemory : public EncoderError {
 public:
  using EncoderError::EncoderError;
};

/// The device computes nothing any more for this process.
class DeviceLost : public EncoderError {
 public:
  using EncoderError::EncoderError;
};

enum class DeviceFault { batch, out_of_memory, lost };

/// `code`: of the CUDA runtime, where the error has one; `what`: its text, which is all that errors
/// of cuBLAS have.
DeviceFault classify_device_error(std::optional<int> code, std::string_view what);

/// Throws what fits the fault.
[[noreturn]] void throw_device_fault(DeviceFault fault, const std::string& what);

}  // namespace ml_worker
