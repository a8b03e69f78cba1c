#include <utility>

#include "model/backend.h"
#include "model/kernels.h"

namespace ml_worker {

Backend load_on_cpu(const BackendSource& source) {
  auto transformer =
      std::make_unique<const Transformer>(source.config, source.weights, Kernels(source.precision));
  Backend backend;
  backend.numerics = std::string(name_of(source.precision)) + "/onednn/cpu";
  backend.weight_bytes = transformer->weight_bytes();
  backend.replicas.push_back(make_host_replica(std::move(transformer), source.pooling));
  return backend;
}

}  // namespace ml_worker
