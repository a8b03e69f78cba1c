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
#include "model/fused_kernels.h"
#include "model/kernels.h"

namespace ml_worker {
namespace {

/// What fills a GPU of today with a model of the smallest kind; not measured.
constexpr std::size_t kBatchTokens = 16384;

std::string name_of_device(std::size_t index) { return fmt::format("cuda:{}", index); }

c10::Device torch_device(std::size_t index) {
  return {c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(index)};
}

/// What is chosen for a model on GPUs of a kind, and what names it in `numerics`.
struct Choice {
  Kernels kernels;
  std::string attention;
};

/// A GPU that ours cannot be compiled for computes with libtorch's.
bool fuse(const BackendSource& source, int compute_capability, DeviceDriver& driver,
          Kernels& kernels) {
  try {
    use_fused_kernels(
        driver.compile({compute_capability, source.precision == Precision::bfloat16,
                        source.config.hidden / source.config.heads, source.config.hidden}),
        kernels);
    return true;
  } catch (const std::exception& error) {
    log::warning("kernels could not be compiled for the GPU; libtorch's are slower",
                 {{"what", log::printable(error.what(), 512)}});
    return false;
  }
}

Choice choose_kernels(const BackendSource& source, int compute_capability, DeviceDriver& driver) {
  const TransformerConfig& config = source.config;
  Choice choice{Kernels(source.precision), "sdpa"};
  choice.kernels.only_cpu = false;
  // MPNet's bias is no mask that they take.
  if (!config.architecture->tensors.relative_bias.empty() ||
      !has_flash_attention(config.hidden / config.heads, source.precision, compute_capability)) {
    return choice;
  }
  choice.kernels.varlen = flash_attention;
  choice.attention = "flash";
  if (has_fused_kernels(config, source.precision, compute_capability) &&
      fuse(source, compute_capability, driver, choice.kernels)) {
    choice.attention = "fused";
  }
  return choice;
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
  auto [kernels, attention] = choose_kernels(source, capability, driver);
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
      fmt::format("{}/{}/cuda-sm{}", name_of(source.precision), attention, capability);
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
