// The seam between serving and a model: tokens in, vectors out.
//
// `model` implements it on libtorch; tests implement it as a deterministic double. Whoever serves
// (batching, service) sees only this header.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "ml_worker/tokenizer.h"

namespace ml_worker {

/// How models are to be run.
enum class Dtype { automatic, float32, bfloat16, float16, int8 };

struct ModelOptions {
  std::string device = "auto";  ///< auto | cpu | cuda[:i,…]
  Dtype dtype = Dtype::automatic;
  int compute_threads = 0;  ///< threads of one forward pass; 0: all cores
};

/// What is said of a loaded model; constant while it lives.
struct ModelDescription {
  std::string name;            ///< directory name, e.g. "all-MiniLM-L6-v2"
  std::size_t dimensions = 0;  ///< length of a vector
  std::size_t max_tokens = 0;  ///< of one text, special tokens counted
  bool normalizes = false;     ///< the model's modules end in Normalize
  TruncationSide truncation_side = TruncationSide::right;
  std::string model_id;  ///< names weights, tokenizer and modules (a digest)
  std::string numerics;  ///< names dtype, kernels and device, e.g. "float32/onednn/cpu"
  std::size_t weight_bytes = 0;
};

/// Thrown by forward(): this batch cannot be computed.
class EncoderError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Encoder {
 public:
  virtual ~Encoder() = default;
  virtual const ModelDescription& description() const = 0;
  virtual const Tokenizer& tokenizer() const = 0;

  /// One forward pass. `texts`: token ids per text, each 1 … max_tokens long, ids in the
  /// vocabulary. `vectors`: row-major float32 [texts.size(), dimensions], filled with the model's
  /// output *before* a final Normalize (the caller normalises if asked to). A text's row does not
  /// depend on its neighbours (docs/MODELS.md states the exceptions). Called from one thread at a
  /// time. Throws EncoderError.
  virtual void forward(std::span<const std::span<const std::int32_t>> texts,
                       std::span<float> vectors) = 0;
};

}  // namespace ml_worker
