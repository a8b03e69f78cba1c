#include <fmt/format.h>

#include <algorithm>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "json/json_file.h"
#include "ml_worker/model.h"
#include "ml_worker/startup_error.h"
#include "model/backend.h"
#include "model/device_encoder.h"
#include "model/directory.h"
#include "model/find.h"
#include "model/gpus.h"
#include "model/identity.h"
#include "model/precision.h"
#include "model/threads.h"
#include "model/transformer_encoder.h"
#include "model/vector_layers.h"
#include "model/weights.h"

namespace ml_worker {
namespace {

namespace fs = std::filesystem;

void check_options(const ModelOptions& options) {
  for (const auto& [name, value] : {std::pair("compute threads", options.compute_threads),
                                    std::pair("forward passes", options.forward_passes)}) {
    if (value >= 0) continue;
    throw StartupError(ExitCode::usage, fmt::format("{}: expected 0 or more, got {}", name, value));
  }
}

std::string identity_of(const fs::path& directory, const ModelDirectory& contents,
                        const LoadProgress& progress) {
  std::vector<std::unique_ptr<MappedFile>> mapped;
  std::vector<NamedBytes> files;
  for (const fs::path& file : contents.files) {
    // A merges.txt of no rules is empty, and such a file cannot be mapped.
    if (fs::file_size(directory / file) == 0) {
      files.emplace_back(file.string(), std::span<const std::byte>());
      continue;
    }
    mapped.push_back(std::make_unique<MappedFile>(directory / file));
    files.emplace_back(file.string(), mapped.back()->bytes());
  }
  return model_identity(std::move(files), progress);
}

ModelDescription describe(const fs::path& directory, const ModelDirectory& contents) {
  ModelDescription description;
  description.name = model_name_of(directory);
  description.dimensions = contents.dimensions();
  description.token_dimensions = static_cast<std::size_t>(contents.config.hidden);
  description.max_tokens = contents.max_tokens;
  description.normalizes = contents.modules.normalizes;
  description.truncation_side = contents.truncation_side;
  description.prompts = contents.prompts.by_name;
  description.default_prompt = contents.prompts.standard;
  description.pools_prompt = contents.modules.pools_prompt;
  if (contents.modules.classifies) {
    description.task = ModelTask::classification;
    description.labels = contents.config.labels;
  } else {
    for (const PoolingMode mode : contents.modules.pooling) {
      description.pooling.emplace_back(name_of(mode));
    }
  }
  return description;
}

std::unique_ptr<Tokenizer> load_fitting_tokenizer(const ModelDirectory& contents) {
  auto tokenizer = load_tokenizer(contents.transformer, {.lower_case = contents.lower_case});
  if (tokenizer->vocabulary_size() > static_cast<std::size_t>(contents.config.vocabulary)) {
    throw StartupError(
        ExitCode::model,
        fmt::format("{}: the tokenizer has {} tokens, the model {}", contents.transformer.string(),
                    tokenizer->vocabulary_size(), contents.config.vocabulary));
  }
  return tokenizer;
}

std::unique_ptr<VectorLayers> load_after(const fs::path& directory, const ModelDirectory& contents,
                                         const Weights& weights) {
  if (contents.modules.classifies) {
    return VectorLayers::load_head(contents.config, weights, contents.score_activation);
  }
  if (contents.modules.after.empty()) return nullptr;
  return VectorLayers::load(directory, contents.modules.after);
}

/// What all replicas have of a model; what its device says of it is still missing.
std::shared_ptr<EncoderParts> load_parts(const fs::path& directory, const ModelDirectory& contents,
                                         const Weights& weights) {
  auto parts = std::make_shared<EncoderParts>();
  parts->tokenizer = load_fitting_tokenizer(contents);
  parts->vocabulary = static_cast<std::size_t>(contents.config.vocabulary);
  parts->pooled_size =
      static_cast<std::size_t>(contents.config.hidden) * contents.modules.pooling.size();
  parts->after = load_after(directory, contents, weights);
  parts->description = describe(directory, contents);
  return parts;
}

std::unique_ptr<Encoder> make_replicas(const std::shared_ptr<const EncoderParts>& parts,
                                       Backend backend) {
  std::vector<std::unique_ptr<Encoder>> encoders;
  for (auto& replica : backend.replicas) {
    encoders.push_back(make_encoder(parts, std::move(replica)));
  }
  if (!backend.devices) return std::move(encoders.front());
  return make_device_encoder(std::move(encoders), std::move(backend.devices));
}

Precision choose_precision(Dtype dtype, const Gpus& gpus) {
  if (gpus.driver == nullptr) return choose_precision(dtype, cpu_features());
  const DeviceAbout about = gpus.driver->about(gpus.indices.front());
  return choose_cuda_precision(dtype, about.compute_capability);
}

std::unique_ptr<Encoder> load_checked(const fs::path& directory, const ModelOptions& options) {
  // Before anything else of libtorch, which remembers whether it has its CUDA part.
  const Gpus gpus =
      choose_gpus(parse_device(options.device),
                  {[] { return probe_driver(); },
                   []() -> DeviceDriver& { return open_device_driver(device_driver_paths()); }});
  const Precision precision = choose_precision(options.dtype, gpus);
  const ModelDirectory contents = read_model_directory(directory);
  // The digest reads every byte of the weights: beside the rest it costs nothing.
  auto identity = std::async(std::launch::async,
                             [&] { return identity_of(directory, contents, options.progress); });
  const Weights weights(contents.transformer);
  prepare_threads(options.compute_threads);
  const auto parts = load_parts(directory, contents, weights);
  if (gpus.driver == nullptr) parts->passes = passes_at_once(options.forward_passes);
  const BackendSource source{contents.config, weights, contents.modules.pooling, precision};
  Backend backend =
      gpus.driver == nullptr ? load_on_cpu(source) : load_on_gpus(source, options, gpus);
  ModelDescription& description = parts->description;
  description.numerics = backend.numerics;
  description.batch_tokens = backend.batch_tokens;
  description.weight_bytes =
      backend.weight_bytes + (parts->after ? parts->after->weight_bytes() : 0);
  description.model_id = identity.get();
  return make_replicas(parts, std::move(backend));
}

}  // namespace

std::unique_ptr<Encoder> load_model(const fs::path& directory, const ModelOptions& options) {
  check_options(options);
  try {
    // On a thread that ends: the OpenMP team that a thread leaves behind counts against the cores
    // for as long as it lives, and the teams that compute would hardly spin (main.cc).
    return std::async(std::launch::async, [&] { return load_checked(directory, options); }).get();
  } catch (const fs::filesystem_error& error) {
    throw StartupError(ExitCode::model, error.what());
  }
}

}  // namespace ml_worker
