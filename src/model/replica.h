// What computes packed texts: a transformer, and what is pooled from it, on one device.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "ml_worker/encoder.h"
#include "model/packing.h"
#include "model/pooling.h"
#include "model/transformer.h"

namespace ml_worker {

/// Called from one thread at a time. Throws std::exception.
class Replica {
 public:
  virtual ~Replica() = default;

  /// The transformer's output as `tokens` lie, row-major [tokens, hidden].
  virtual std::vector<float> states(const PackedTokens& tokens) = 0;
  /// A pooled vector per text, in the order of `inputs`, of which `tokens` was made: `rows`,
  /// row-major [texts, modes · hidden].
  virtual void pooled(std::span<const EncoderInput> inputs, const PackedTokens& tokens,
                      std::span<float> rows) = 0;
};

/// On the CPU, where any number of threads may call it.
std::unique_ptr<Replica> make_host_replica(std::unique_ptr<const Transformer> transformer,
                                           std::vector<PoolingMode> pooling);

}  // namespace ml_worker
