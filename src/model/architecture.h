// What tells the encoders apart. The layers are shared (layers.h, attention.h, transformer.h); an
// architecture is one entry of a table: how its configuration and its tensors are called, and which
// of the layers it takes. docs/MODELS.md says how to add one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "json/json_file.h"
#include "model/activation.h"
#include "model/pooling.h"

namespace ml_worker {

/// How a token learns where it stands.
enum class Positions {
  absolute,       ///< a learnt vector per place, from 0
  after_padding,  ///< the same, from the padding token's id + 1; padding tokens do not count
  rotary,         ///< queries and keys are turned by an angle (Su et al. 2021)
};

/// Tensors' names, without ".weight" and ".bias"; empty: the architecture has no such thing.
struct TensorNames {
  std::string_view words, positions, token_types, embedding_norm;
  std::string_view layers;  ///< before a layer's number; what follows stands behind "LAYERS.N."
  std::string_view query, key, value;
  std::string_view query_key_value;  ///< the three in one
  std::string_view attention_output, attention_norm;
  std::string_view up, down, output_norm;
  std::string_view relative_bias;
  std::string_view final_norm;
};

/// config.json's names for what all have.
struct ConfigNames {
  std::string_view hidden = "hidden_size";
  std::string_view layers = "num_hidden_layers";
  std::string_view heads = "num_attention_heads";
  std::string_view intermediate = "intermediate_size";
  std::string_view activation = "hidden_act";
  std::string_view norm_epsilon = "layer_norm_eps";
};

/// The head of …ForSequenceClassification: dense, activation, perhaps a norm, classifier. `dense`
/// stands below the encoder's prefix if `dense_in_encoder`.
struct HeadNames {
  std::string_view dense, norm, classifier;
  bool dense_in_encoder = false;
  Activation activation = Activation::tanh;
};

struct Architecture {
  std::string_view model_type;  ///< config.json's
  std::string_view prefix;      ///< of the encoder's tensors below a head, e.g. "bert."
  Positions positions = Positions::absolute;
  std::int64_t padding_id = -1;  ///< fixed; below 0: `pad_token_id` of the configuration
  bool norm_first = false;       ///< a layer's norms stand before attention and feed-forward
  bool gated = false;  ///< feed-forward: activation(a) · b, a and b halves of `up`'s output
  double norm_epsilon = 1e-12;  ///< unless the configuration has it
  TensorNames tensors;
  HeadNames head;
  ConfigNames config = {};
};

/// config.json of one model.
struct TransformerConfig {
  const Architecture* architecture = nullptr;
  std::int64_t vocabulary = 0;
  std::int64_t hidden = 0;
  std::int64_t layers = 0;
  std::int64_t heads = 0;
  std::int64_t intermediate = 0;
  std::int64_t positions = 0;    ///< rows of the table of positions, or the longest rotary text
  std::int64_t token_types = 0;  ///< 0: it has none
  std::int64_t padding_id = 0;
  double norm_epsilon = 0;
  Activation activation = Activation::gelu;
  bool attention_bias = true;
  bool feed_forward_bias = true;
  bool norm_bias = true;
  std::vector<bool> local;          ///< by layer: attends only to tokens at most `window` away
  std::int64_t window = 0;          ///< 0: no layer is local
  double rotary_base = 0;           ///< of layers that are not local
  double local_rotary_base = 0;     ///< of layers that are
  std::vector<std::string> labels;  ///< as a classification model would have them
  Activation head_activation = Activation::tanh;
  bool head_bias = true;
  PoolingMode head_pooling = PoolingMode::cls;

  /// Tokens of the longest text there are positions for.
  std::size_t max_tokens() const;
};

/// Throws StartupError(ExitCode::model) that names what is not supported.
TransformerConfig read_transformer_config(const JsonObject& json);

}  // namespace ml_worker
