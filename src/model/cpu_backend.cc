#include <stdexcept>
#include <string>
#include <utility>

#include "model/backend.h"
#include "model/int8_product.h"
#include "model/kernels.h"

namespace ml_worker {
namespace {

/// With 2,048 as much is computed, and a text that comes meanwhile waits twice as long.
constexpr std::size_t kBatchTokens = 1024;

/// Who computes the linear layers, as far as it makes a difference to the numbers.
std::string kernels_of(Precision precision) {
  switch (precision) {
    case Precision::float32:
      return "native";
    case Precision::int8:
      return largest_weight(int8_kernel()) == kInt8Largest ? "native" : "native7";
    case Precision::bfloat16:
    case Precision::float16:
      return "onednn";
  }
  throw std::logic_error("unknown precision");
}

}  // namespace

Backend load_on_cpu(const BackendSource& source) {
  auto transformer =
      std::make_unique<const Transformer>(source.config, source.weights, Kernels(source.precision));
  Backend backend;
  backend.numerics =
      std::string(name_of(source.precision)) + "/" + kernels_of(source.precision) + "/cpu";
  backend.batch_tokens = kBatchTokens;
  backend.weight_bytes = transformer->weight_bytes();
  backend.replicas.push_back(make_host_replica(std::move(transformer), source.pooling));
  return backend;
}

}  // namespace ml_worker
