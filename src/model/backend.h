// A model's weights on the device that it runs on, and the replicas that compute with them.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ml_worker/encoder.h"
#include "model/gpus.h"
#include "model/precision.h"
#include "model/replica.h"

namespace ml_worker {

struct Backend {
  std::vector<std::unique_ptr<Replica>> replicas;  ///< at least one
  std::string numerics;
  std::size_t weight_bytes = 0;                        ///< of one copy
  std::size_t batch_tokens = 0;                        ///< budget of a batch that suits it
  std::function<std::vector<DeviceStatus>()> devices;  ///< none: the CPU
};

/// Where a transformer comes from, and what is pooled from it.
struct BackendSource {
  const TransformerConfig& config;
  const Weights& weights;
  const std::vector<PoolingMode>& pooling;
  Precision precision;
};

/// These throw StartupError.
Backend load_on_cpu(const BackendSource& source);
/// Of `options` what is said of devices.
Backend load_on_gpus(const BackendSource& source, const ModelOptions& options, const Gpus& gpus);

}  // namespace ml_worker
