// Our own kernels (kernels.cu), compiled by NVRTC, which libtorch's CUDA part brings with it.
#pragma once

#include <memory>

#include "ml_worker/device.h"

namespace ml_worker {

/// Throws std::runtime_error, which says what the compiler said.
std::shared_ptr<DeviceProgram> compile_program(const DeviceProgramShape& shape);

}  // namespace ml_worker
