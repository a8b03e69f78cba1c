// The seam between serving and a model: tokens in, vectors out.
//
// `model` implements it on libtorch; tests implement it as a deterministic double. Whoever serves
// (batching, service) sees only this header.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "ml_worker/tokenizer.h"

namespace ml_worker {

/// How models are to be run.
enum class Dtype { automatic, float32, bfloat16, float16, int8 };

/// Told how many of a model's bytes have been read, of how many; from a thread of its own.
using LoadProgress = std::function<void(std::size_t read, std::size_t of)>;

struct ModelOptions {
  std::string device = "auto";  ///< auto | cpu | cuda[:i,…]
  Dtype dtype = Dtype::automatic;
  int compute_threads = 0;  ///< of all forward passes on the CPU together; 0: all cores
  int forward_passes = 0;   ///< at the same time on the CPU; 0: one a thread, up to 16
  /// Of each GPU: bytes, or up to 1 the fraction of its memory; 0: all that is free.
  double device_memory = 0.0;
  /// Forward passes at the same time on each GPU: while one computes, the next is made ready.
  std::size_t device_replicas = 4;
  LoadProgress progress;  ///< may be empty
};

/// What a model's vectors are.
enum class ModelTask {
  embedding,       ///< a sentence's vector
  classification,  ///< scores, one per label; texts or pairs of texts (cross-encoders too)
};

/// What is said of a loaded model; constant while it lives.
struct ModelDescription {
  std::string name;            ///< directory name, e.g. "all-MiniLM-L6-v2"
  std::size_t dimensions = 0;  ///< length of a vector
  std::size_t max_tokens = 0;  ///< of one text, special tokens counted
  bool normalizes = false;     ///< the model's modules end in Normalize
  TruncationSide truncation_side = TruncationSide::right;
  std::string model_id;  ///< names weights, tokenizer and modules (a digest)
  std::string numerics;  ///< names dtype, kernels and device, e.g. "float32/native/cpu"
  std::size_t weight_bytes = 0;
  ModelTask task = ModelTask::embedding;
  std::size_t token_dimensions = 0;  ///< length of one token's vector; 0: it gives none
  std::vector<std::string> pooling;  ///< modes, as sentence-transformers names them; none: scores
  std::vector<std::string> labels;   ///< of a classification model, one per dimension
  /// Prefixes by name, as config_sentence_transformers.json has them.
  std::map<std::string, std::string> prompts;
  std::string default_prompt;  ///< put before a text that names none; the text itself, not a name
  bool pools_prompt = true;    ///< a prompt's tokens take part in pooling (`include_prompt`)
  std::size_t batch_tokens = 2048;  ///< budget of a batch that suits the device
};

/// A GPU that a model runs on, as it is now. Bytes but `memory_bytes` are this process's.
struct DeviceStatus {
  std::string device;  ///< e.g. "cuda:0"
  std::string name;    ///< e.g. "NVIDIA H100 80GB HBM3"
  std::size_t memory_bytes = 0;
  std::size_t limit_bytes = 0;     ///< 0: none
  std::size_t used_bytes = 0;      ///< by weights and running batches
  std::size_t reserved_bytes = 0;  ///< taken from the driver
  std::size_t batch_tokens = 0;    ///< largest batch since memory ran out; 0: it has not
};

/// What forward() is to give.
enum class EncoderOutput {
  vectors,  ///< one row per input: the sentence's vector, or the scores of a classification model
  tokens,   ///< one row per token: the transformer's output, `token_dimensions` long
};

/// One text or one pair of texts, as token ids.
struct EncoderInput {
  EncoderInput() = default;
  EncoderInput(std::span<const std::int32_t> token_ids) : ids(token_ids) {}

  std::span<const std::int32_t> ids;
  std::size_t second_start = 0;  ///< of a pair: where token type 1 begins; 0: all of type 0
  std::size_t unpooled = 0;      ///< leading tokens that pooling leaves out: a prompt's
};

/// How many floats the rows are that forward() gives for `inputs`.
inline std::size_t floats_of(const ModelDescription& model, std::span<const EncoderInput> inputs,
                             EncoderOutput output) {
  if (output == EncoderOutput::vectors) return inputs.size() * model.dimensions;
  std::size_t tokens = 0;
  for (const EncoderInput& input : inputs) tokens += input.ids.size();
  return tokens * model.token_dimensions;
}

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

  /// One forward pass. `inputs`: each 1 … max_tokens long, ids in the vocabulary. `rows`:
  /// row-major float32, filled with the model's output *before* a final Normalize (the caller
  /// normalises if asked to): [inputs.size(), dimensions] for `vectors`, for `tokens` [all tokens
  /// of the inputs in their order, token_dimensions]. A text's rows do not depend on its neighbours
  /// (docs/MODELS.md states the exceptions). Called from one thread at a time; replicas at the same
  /// time, each from a thread of its own. Throws EncoderError.
  virtual void forward(std::span<const EncoderInput> inputs, EncoderOutput output,
                       std::span<float> rows) = 0;

  /// How many forward passes pay at the same time: one per device, or more where that is faster.
  virtual std::size_t replicas() const { return 1; }
  /// `index` < replicas(). All give the same bytes and live as long as this encoder, which may be
  /// one of them.
  virtual Encoder& replica(std::size_t /*index*/) { return *this; }

  /// The GPUs that it runs on; empty: the CPU. From any thread.
  virtual std::vector<DeviceStatus> devices() const { return {}; }
};

}  // namespace ml_worker
