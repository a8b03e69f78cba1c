#include <ATen/core/Tensor.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <fmt/format.h>

#include <array>
#include <utility>

#include "ml_worker/log.h"
#include "ml_worker/startup_error.h"
#include "model/backend.h"
#include "model/device_replica.h"
#include "model/flash_attention.h"
#include "model/kernels.h"

namespace ml_worker {
namespace {

/// What fills a GPU of today with a model of the smallest kind; not measured.
constexpr std::size_t kBatchTokens = 16384;

std::string name_of_device(std::size_t index) { return fmt::format("cuda:{}", index); }

c10::Device torch_device(std::size_t index) {
  return {c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(index)};
}

Kernels kernels_for(const TransformerConfig& config, Precision precision, int compute_capability) {
  Kernels kernels(precision);
  kernels.only_cpu = false;
  if (has_flash_attention(config.hidden / config.heads, precision, compute_capability)) {
    kernels.varlen = flash_attention;
  }
  return kernels;
}

/// What is wrong with a GPU is found before anybody calls; kernels are loaded at their first use.
void warm_up(Replica& replica, std::size_t index) {
  constexpr std::array<std::int32_t, 1> kToken = {0};
  const std::vector<EncoderInput> inputs{EncoderInput(kToken)};
  try {
    replica.states(pack_tokens(inputs));
  } catch (const std::exception& error) {
    throw StartupError(ExitCode::self_check, name_of_device(index) + ": " + error.what());
  }
}

/// A GPU and how much of it we may use.
struct Known {
  std::size_t index;
  DeviceAbout about;
  std::size_t limit;  ///< 0: none
};

DeviceStatus status_of(const Known& gpu, const DeviceDriver& driver) {
  const DeviceMemory memory = driver.memory(gpu.index);
  DeviceStatus status;
  status.device = name_of_device(gpu.index);
  status.name = gpu.about.name;
  status.memory_bytes = gpu.about.memory_bytes;
  status.limit_bytes = gpu.limit;
  status.used_bytes = memory.used;
  status.reserved_bytes = memory.reserved;
  return status;
}

Known take_gpu(std::size_t index, DeviceDriver& driver, double bound) {
  Known gpu{index, driver.about(index), 0};
  if (const auto limit = memory_bound(bound, gpu.about.memory_bytes)) {
    gpu.limit = *limit;
    driver.limit_memory(index, gpu.limit);
  }
  log::info("using a GPU", {{"device", name_of_device(index)},
                            {"name", gpu.about.name},
                            {"memory", std::to_string(gpu.about.memory_bytes)},
                            {"limit", std::to_string(gpu.limit)}});
  return gpu;
}

}  // namespace

Backend load_on_gpus(const BackendSource& source, const ModelOptions& options, const Gpus& gpus) {
  DeviceDriver& driver = *gpus.driver;
  const int capability = driver.about(gpus.indices.front()).compute_capability;
  Kernels kernels = kernels_for(source.config, source.precision, capability);
  std::vector<Known> known;
  std::vector<std::shared_ptr<const Transformer>> transformers;
  for (const std::size_t index : gpus.indices) {
    known.push_back(take_gpu(index, driver, options.device_memory));
    kernels.device = torch_device(index);
    transformers.push_back(
        std::make_shared<const Transformer>(source.config, source.weights, kernels));
    // Weights come by another stream than those that will read them. Only that one is waited for:
    // another model's replica may be recording, which a wait for the whole device would spoil.
    c10::impl::getDeviceGuardImpl(c10::DeviceType::CUDA)->getStream(kernels.device).synchronize();
  }
  Backend backend;
  backend.batch_tokens = kBatchTokens;
  backend.weight_bytes = transformers.front()->weight_bytes();
  backend.numerics =
      fmt::format("{}/{}/cuda-sm{}", name_of(source.precision),
                  transformers.front()->takes_any_lengths() ? "flash" : "sdpa", capability);
  // GPU by GPU in turns: the first lanes, as many as there are GPUs, have one each.
  for (std::size_t i = 0; i < options.device_replicas * known.size(); ++i) {
    const std::size_t gpu = i % known.size();
    backend.replicas.push_back(make_device_replica(transformers[gpu], source.pooling,
                                                   torch_device(known[gpu].index), driver));
    warm_up(*backend.replicas.back(), known[gpu].index);
  }
  backend.devices = [&driver, known = std::move(known)] {
    std::vector<DeviceStatus> devices;
    for (const Known& gpu : known) devices.push_back(status_of(gpu, driver));
    return devices;
  };
  return backend;
}

}  // namespace ml_worker
