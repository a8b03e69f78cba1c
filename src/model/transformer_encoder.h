// The seam's Encoder: a replica that gives states and pooled vectors, and what stands behind the
// pooling.
#pragma once

#include <cstddef>
#include <memory>

#include "ml_worker/encoder.h"
#include "model/replica.h"
#include "model/vector_layers.h"

namespace ml_worker {

/// What the replicas of a model share.
struct EncoderParts {
  ModelDescription description;
  std::unique_ptr<Tokenizer> tokenizer;
  std::size_t vocabulary = 0;
  std::size_t pooled_size = 0;          ///< length of a pooled vector
  std::size_t passes = 1;               ///< at the same time, of one encoder
  std::unique_ptr<VectorLayers> after;  ///< null: nothing
};

std::unique_ptr<Encoder> make_encoder(std::shared_ptr<const EncoderParts> parts,
                                      std::unique_ptr<Replica> replica);

}  // namespace ml_worker
