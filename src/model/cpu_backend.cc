#include <string>
#include <utility>

#include "model/backend.h"
#include "model/int8_product.h"
#include "model/kernels.h"
#include "model/native_linear.h"

namespace ml_worker {
namespace {

/// With 2,048 as much is computed, and a text that comes meanwhile waits twice as long.
constexpr std::size_t kBatchTokens = 1024;

/// Who computes the linear layers, as far as it makes a difference to the numbers.
std::string kernels_of(Precision precision) {
  if (!NativeLinear::takes(precision)) return "onednn";
  const bool all_bits =
      precision != Precision::int8 || largest_weight(int8_kernel()) == kInt8Largest;
  return all_bits ? "native" : "native7";
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
