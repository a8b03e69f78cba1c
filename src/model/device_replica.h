// A replica on a GPU: a stream, the buffers that its copies go through, and the graphs that it has
// recorded. docs/CUDA.md says who owns what.
#pragma once

#include <c10/core/Device.h>

#include <memory>
#include <vector>

#include "ml_worker/device.h"
#include "model/replica.h"

namespace ml_worker {

/// `transformer`: on `device`, shared with the other replicas there. Its methods throw
/// OutOfDeviceMemory, DeviceLost, else std::runtime_error.
std::unique_ptr<Replica> make_device_replica(std::shared_ptr<const Transformer> transformer,
                                             std::vector<PoolingMode> pooling, c10::Device device,
                                             DeviceDriver& driver);

}  // namespace ml_worker
