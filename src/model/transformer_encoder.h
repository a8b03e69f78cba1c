// The seam's Encoder: a transformer, what is pooled from it, and what stands behind the pooling.
#pragma once

#include <memory>
#include <vector>

#include "ml_worker/encoder.h"
#include "model/pooling.h"
#include "model/transformer.h"
#include "model/vector_layers.h"

namespace ml_worker {

struct EncoderParts {
  ModelDescription description;
  std::unique_ptr<Tokenizer> tokenizer;
  std::size_t vocabulary = 0;
  std::unique_ptr<Transformer> transformer;
  std::vector<PoolingMode> pooling;
  std::unique_ptr<VectorLayers> after;  ///< null: nothing
};

std::unique_ptr<Encoder> make_encoder(EncoderParts parts);

}  // namespace ml_worker
