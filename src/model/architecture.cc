#include "model/architecture.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <string>

namespace ml_worker {
namespace {

constexpr std::int64_t kMaxSize = std::int64_t{1} << 24;
constexpr std::int64_t kRelativeBuckets =
    32;  // transformers computes with 32 whatever is configured

constexpr TensorNames kBertTensors = {.words = "embeddings.word_embeddings",
                                      .positions = "embeddings.position_embeddings",
                                      .token_types = "embeddings.token_type_embeddings",
                                      .embedding_norm = "embeddings.LayerNorm",
                                      .layers = "encoder.layer.",
                                      .query = "attention.self.query",
                                      .key = "attention.self.key",
                                      .value = "attention.self.value",
                                      .query_key_value = "",
                                      .attention_output = "attention.output.dense",
                                      .attention_norm = "attention.output.LayerNorm",
                                      .up = "intermediate.dense",
                                      .down = "output.dense",
                                      .output_norm = "output.LayerNorm",
                                      .relative_bias = "",
                                      .final_norm = ""};

constexpr HeadNames kBertHead = {
    .dense = "pooler.dense", .norm = "", .classifier = "classifier", .dense_in_encoder = true};
constexpr HeadNames kRobertaHead = {
    .dense = "classifier.dense", .norm = "", .classifier = "classifier.out_proj"};

/// Devlin et al. 2018.
constexpr Architecture kBert = {
    .model_type = "bert", .prefix = "bert.", .tensors = kBertTensors, .head = kBertHead};

/// Liu et al. 2019.
constexpr Architecture kRoberta = {.model_type = "roberta",
                                   .prefix = "roberta.",
                                   .positions = Positions::after_padding,
                                   .tensors = kBertTensors,
                                   .head = kRobertaHead};

/// Conneau et al. 2019.
constexpr Architecture kXlmRoberta = {.model_type = "xlm-roberta",
                                      .prefix = "roberta.",
                                      .positions = Positions::after_padding,
                                      .tensors = kBertTensors,
                                      .head = kRobertaHead};

/// Martin et al. 2019.
constexpr Architecture kCamembert = {.model_type = "camembert",
                                     .prefix = "roberta.",
                                     .positions = Positions::after_padding,
                                     .tensors = kBertTensors,
                                     .head = kRobertaHead};

/// Sanh et al. 2019.
constexpr Architecture kDistilBert = {.model_type = "distilbert",
                                      .prefix = "distilbert.",
                                      .tensors = {.words = "embeddings.word_embeddings",
                                                  .positions = "embeddings.position_embeddings",
                                                  .token_types = "",
                                                  .embedding_norm = "embeddings.LayerNorm",
                                                  .layers = "transformer.layer.",
                                                  .query = "attention.q_lin",
                                                  .key = "attention.k_lin",
                                                  .value = "attention.v_lin",
                                                  .query_key_value = "",
                                                  .attention_output = "attention.out_lin",
                                                  .attention_norm = "sa_layer_norm",
                                                  .up = "ffn.lin1",
                                                  .down = "ffn.lin2",
                                                  .output_norm = "output_layer_norm",
                                                  .relative_bias = "",
                                                  .final_norm = ""},
                                      .head = {.dense = "pre_classifier",
                                               .norm = "",
                                               .classifier = "classifier",
                                               .activation = Activation::relu},
                                      .config = {.hidden = "dim",
                                                 .layers = "n_layers",
                                                 .heads = "n_heads",
                                                 .intermediate = "hidden_dim",
                                                 .activation = "activation",
                                                 .norm_epsilon = ""}};

/// Song et al. 2020.
constexpr Architecture kMpnet = {.model_type = "mpnet",
                                 .prefix = "mpnet.",
                                 .positions = Positions::after_padding,
                                 .padding_id = 1,
                                 .tensors = {.words = "embeddings.word_embeddings",
                                             .positions = "embeddings.position_embeddings",
                                             .token_types = "",
                                             .embedding_norm = "embeddings.LayerNorm",
                                             .layers = "encoder.layer.",
                                             .query = "attention.attn.q",
                                             .key = "attention.attn.k",
                                             .value = "attention.attn.v",
                                             .query_key_value = "",
                                             .attention_output = "attention.attn.o",
                                             .attention_norm = "attention.LayerNorm",
                                             .up = "intermediate.dense",
                                             .down = "output.dense",
                                             .output_norm = "output.LayerNorm",
                                             .relative_bias = "encoder.relative_attention_bias",
                                             .final_norm = ""},
                                 .head = kRobertaHead};

/// Warner et al. 2024.
constexpr Architecture kModernBert = {
    .model_type = "modernbert",
    .prefix = "model.",
    .positions = Positions::rotary,
    .norm_first = true,
    .gated = true,
    .norm_epsilon = 1e-5,
    .tensors = {.words = "embeddings.tok_embeddings",
                .positions = "",
                .token_types = "",
                .embedding_norm = "embeddings.norm",
                .layers = "layers.",
                .query = "",
                .key = "",
                .value = "",
                .query_key_value = "attn.Wqkv",
                .attention_output = "attn.Wo",
                .attention_norm = "attn_norm",
                .up = "mlp.Wi",
                .down = "mlp.Wo",
                .output_norm = "mlp_norm",
                .relative_bias = "",
                .final_norm = "final_norm"},
    .head = {.dense = "head.dense",
             .norm = "head.norm",
             .classifier = "classifier",
             .activation = Activation::gelu},
    .config = {.activation = "hidden_activation", .norm_epsilon = "norm_eps"}};

constexpr std::array<const Architecture*, 7> kArchitectures = {
    &kBert, &kRoberta, &kXlmRoberta, &kCamembert, &kDistilBert, &kMpnet, &kModernBert};

const Architecture& find_architecture(const JsonObject& json) {
  const std::string type = json.text("model_type");
  std::vector<std::string_view> known;
  for (const Architecture* architecture : kArchitectures) {
    if (architecture->model_type == type) return *architecture;
    known.push_back(architecture->model_type);
  }
  json.fail(fmt::format("model_type '{}' is not supported; supported are {}", type,
                        fmt::join(known, ", ")));
}

void refuse_flag(const JsonObject& json, const std::string& key) {
  if (json.flag(key, false)) json.fail(key + " is not supported");
}

/// Fields that change the computation and would be run wrongly.
void refuse_unsupported(const JsonObject& json) {
  const std::string position_type = json.text("position_embedding_type", "absolute");
  if (position_type != "absolute") {
    json.fail("position_embedding_type '" + position_type + "' is not supported");
  }
  refuse_flag(json, "is_decoder");
  refuse_flag(json, "add_cross_attention");
  const auto buckets =
      json.integer("relative_attention_num_buckets", 1, kMaxSize, kRelativeBuckets);
  if (buckets != kRelativeBuckets) {
    json.fail(fmt::format("relative_attention_num_buckets {} is not supported, only {}", buckets,
                          kRelativeBuckets));
  }
}

Activation read_activation(const JsonObject& json, std::string_view key) {
  const std::string name = json.text(key, "gelu");
  const auto activation = activation_of_transformers(name);
  if (!activation) json.fail(fmt::format("{} '{}' is not supported", key, name));
  return *activation;
}

void read_sizes(const JsonObject& json, TransformerConfig& config) {
  const ConfigNames& names = config.architecture->config;
  config.vocabulary = json.integer("vocab_size", 1, kMaxSize);
  config.hidden = json.integer(names.hidden, 1, 1 << 16);
  config.layers = json.integer(names.layers, 1, 1024);
  config.heads = json.integer(names.heads, 1, 1024);
  config.intermediate = json.integer(names.intermediate, 1, 1 << 20);
  config.positions = json.integer("max_position_embeddings", 2, kMaxSize);
  if (!config.architecture->tensors.token_types.empty()) {
    config.token_types = json.integer("type_vocab_size", 1, kMaxSize, 2);
  }
  if (config.hidden % config.heads != 0) {
    json.fail(fmt::format("{} does not divide {}", names.heads, names.hidden));
  }
}

void read_padding(const JsonObject& json, TransformerConfig& config) {
  if (config.architecture->positions != Positions::after_padding) return;
  config.padding_id = config.architecture->padding_id;
  if (config.padding_id < 0) config.padding_id = json.integer("pad_token_id", 0, kMaxSize, 1);
  if (config.positions < config.padding_id + 3) {
    json.fail(fmt::format("max_position_embeddings {} is too small for padding token {}",
                          config.positions, config.padding_id));
  }
}

/// `layer_types`, or the older `global_attn_every_n_layers`.
std::vector<bool> read_local_layers(const JsonObject& json, std::int64_t layers) {
  std::vector<bool> local(static_cast<std::size_t>(layers));
  if (!json.has("layer_types")) {
    const auto every = json.integer("global_attn_every_n_layers", 1, 1024, 3);
    for (std::size_t i = 0; i < local.size(); ++i) local[i] = i % every != 0;
    return local;
  }
  const auto& types = json.json()["layer_types"];
  if (!types.is_array() || types.size() != local.size()) {
    json.fail(fmt::format("'layer_types': expected an array of {} names", layers));
  }
  for (std::size_t i = 0; i < local.size(); ++i) {
    local[i] = types[i] == "sliding_attention";
    if (!local[i] && types[i] != "full_attention") {
      json.fail(fmt::format("layer_types: {} is not supported", types[i].dump()));
    }
  }
  return local;
}

/// `rope_parameters` of transformers 5, by kind of attention, or the older field.
double read_rotary_base(const JsonObject& json, std::string_view kind, std::string_view older,
                        double fallback) {
  fallback = json.number(older, fallback);
  if (!json.has("rope_parameters")) return fallback;
  const JsonObject all = json.object("rope_parameters");
  if (!all.has(kind)) return fallback;
  const JsonObject parameters = all.object(kind);
  const std::string type = parameters.text("rope_type", "default");
  if (type != "default") parameters.fail("rope_type '" + type + "' is not supported");
  return parameters.number("rope_theta", fallback);
}

void read_rotary(const JsonObject& json, TransformerConfig& config) {
  if (config.architecture->positions != Positions::rotary) return;
  if (json.has("rope_scaling")) json.fail("rope_scaling is not supported");
  if ((config.hidden / config.heads) % 2 != 0) json.fail("the size of a head must be even");
  config.local = read_local_layers(json, config.layers);
  config.window = json.integer("local_attention", 2, kMaxSize, 128) / 2;
  config.rotary_base = read_rotary_base(json, "full_attention", "global_rope_theta", 160000.0);
  config.local_rotary_base =
      read_rotary_base(json, "sliding_attention", "local_rope_theta", 10000.0);
  config.attention_bias = json.flag("attention_bias", false);
  config.feed_forward_bias = json.flag("mlp_bias", false);
  config.norm_bias = json.flag("norm_bias", false);
}

std::vector<std::string> read_labels(const JsonObject& json) {
  std::vector<std::string> labels(
      static_cast<std::size_t>(json.integer("num_labels", 1, 1 << 16, 2)));
  const bool named = json.has("id2label");
  if (named) labels.resize(json.object("id2label").json().size());
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const std::string id = std::to_string(i);
    labels[i] = named ? json.object("id2label").text(id) : "LABEL_" + id;
  }
  if (labels.empty()) json.fail("'id2label' is empty");
  return labels;
}

/// Fields that only ModernBERT's head has.
void read_head(const JsonObject& json, TransformerConfig& config) {
  config.labels = read_labels(json);
  config.head_activation = config.architecture->head.activation;
  if (config.architecture->head.norm.empty()) return;
  config.head_activation = read_activation(json, "classifier_activation");
  config.head_bias = json.flag("classifier_bias", false);
  const std::string pooling = json.text("classifier_pooling", "cls");
  if (pooling != "cls" && pooling != "mean") {
    json.fail("classifier_pooling '" + pooling + "' is not supported");
  }
  config.head_pooling = pooling == "cls" ? PoolingMode::cls : PoolingMode::mean;
}

}  // namespace

std::size_t TransformerConfig::max_tokens() const {
  const bool shifted = architecture->positions == Positions::after_padding;
  return static_cast<std::size_t>(shifted ? positions - padding_id - 1 : positions);
}

TransformerConfig read_transformer_config(const JsonObject& json) {
  TransformerConfig config;
  config.architecture = &find_architecture(json);
  refuse_unsupported(json);
  read_sizes(json, config);
  read_padding(json, config);
  read_rotary(json, config);
  read_head(json, config);
  config.activation = read_activation(json, config.architecture->config.activation);
  config.norm_epsilon =
      json.number(config.architecture->config.norm_epsilon, config.architecture->norm_epsilon);
  return config;
}

}  // namespace ml_worker
