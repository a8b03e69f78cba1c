// Replicas of one model on GPUs as one Encoder, and what it does when a GPU fails: with too little
// memory batches become smaller; when one is lost all is over.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "ml_worker/encoder.h"

namespace ml_worker {

/// How many of the leading `inputs` (not empty) make a batch within `budget` tokens: at least one.
std::size_t leading_texts(std::span<const EncoderInput> inputs, std::size_t budget);

/// `replicas`: at least one, all of the same model. A replica that throws OutOfDeviceMemory gets
/// its batch again in smaller parts: the budget of every batch is from then on half of what did not
/// fit. After one has thrown DeviceLost all throw it. `status`: of the devices, but for the budget.
std::unique_ptr<Encoder> make_device_encoder(std::vector<std::unique_ptr<Encoder>> replicas,
                                             std::function<std::vector<DeviceStatus>()> status);

}  // namespace ml_worker
