#include "model/bert.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/layer_norm.h>
#include <c10/core/InferenceMode.h>

#include <array>
#include <initializer_list>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ml_worker/startup_error.h"

namespace ml_worker {
namespace {

/// oneDNN's operators have no C++ header; these are their registered types.
using LinearOp = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                            std::string_view, c10::List<std::optional<at::Scalar>>,
                            std::optional<std::string_view>);
using LinearAddOp = at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                               const std::optional<at::Tensor>&, std::string_view);
using ReorderOp = at::Tensor(const at::Tensor&, std::optional<std::int64_t>);

template <typename Signature>
c10::TypedOperatorHandle<Signature> find_op(const char* name, const char* overload = "") {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, overload).typed<Signature>();
}

/// x·Wᵀ + b, W in oneDNN's own layout. at::linear goes through MKL, whose sums depend on how many
/// rows there are: a text's vector would change with its neighbours.
struct Linear {
  at::Tensor weight;
  at::Tensor bias;

  Linear(const at::Tensor& plain_weight, at::Tensor plain_bias) : bias(std::move(plain_bias)) {
    static const auto reorder = find_op<ReorderOp>("mkldnn::_reorder_linear_weight");
    weight = reorder.call(plain_weight, std::nullopt);
  }

  at::Tensor apply(const at::Tensor& x) const { return apply(x, "none", std::nullopt); }
  /// BERT's GELU is the one with erf, "none" to oneDNN; the other is "tanh".
  at::Tensor apply_gelu(const at::Tensor& x) const { return apply(x, "gelu", "none"); }
  at::Tensor apply_add(const at::Tensor& x, const at::Tensor& residual) const {
    static const auto op = find_op<LinearAddOp>("mkldnn::_linear_pointwise", "binary");
    return op.call(x, residual, weight, bias, "add");
  }

 private:
  at::Tensor apply(const at::Tensor& x, std::string_view activation,
                   std::optional<std::string_view> algorithm) const {
    static const auto op = find_op<LinearOp>("mkldnn::_linear_pointwise");
    return op.call(x, weight, bias, activation, c10::List<std::optional<at::Scalar>>(), algorithm);
  }
};

struct LayerNorm {
  at::Tensor weight;
  at::Tensor bias;
  double epsilon;

  at::Tensor apply(const at::Tensor& x) const {
    return at::layer_norm(x, weight.sizes(), weight, bias, epsilon);
  }
};

struct Layer {
  Linear query_key_value;
  Linear attention_output;
  LayerNorm attention_norm;
  Linear intermediate;
  Linear output;
  LayerNorm output_norm;
};

/// Takes tensors out of the file under BertModel's names.
class Loader {
 public:
  Loader(const BertConfig& config, const Safetensors& weights)
      : config_(config), weights_(weights) {
    // A checkpoint of a model with a head has the encoder below "bert.".
    if (!weights.has("embeddings.word_embeddings.weight")) prefix_ = "bert.";
    if (!weights.has(prefix_ + "embeddings.word_embeddings.weight")) prefix_.clear();
  }

  at::Tensor tensor(const std::string& name, std::initializer_list<std::int64_t> shape) {
    const std::vector<std::int64_t> sizes(shape);
    auto data = weights_.floats(prefix_ + name, sizes);
    auto* elements = const_cast<float*>(data.get());  // from_blob only reads here
    at::Tensor result = at::from_blob(
        elements, sizes, [data](void* /*unused*/) {}, at::TensorOptions(at::kFloat));
    bytes_ += result.nbytes();
    return result;
  }

  LayerNorm layer_norm(const std::string& name) {
    return {tensor(name + ".weight", {config_.hidden}), tensor(name + ".bias", {config_.hidden}),
            config_.layer_norm_epsilon};
  }

  Linear linear(const std::string& name, std::int64_t in, std::int64_t out) {
    return {tensor(name + ".weight", {out, in}), tensor(name + ".bias", {out})};
  }

  Layer layer(std::int64_t index) {
    const std::string name = "encoder.layer." + std::to_string(index) + ".";
    return {query_key_value(name + "attention.self."),
            linear(name + "attention.output.dense", config_.hidden, config_.hidden),
            layer_norm(name + "attention.output.LayerNorm"),
            linear(name + "intermediate.dense", config_.hidden, config_.intermediate),
            linear(name + "output.dense", config_.intermediate, config_.hidden),
            layer_norm(name + "output.LayerNorm")};
  }

  std::size_t bytes() const { return bytes_; }

 private:
  /// One matrix multiply for the three.
  Linear query_key_value(const std::string& name) {
    std::vector<at::Tensor> matrices;
    std::vector<at::Tensor> biases;
    for (const char* part : {"query", "key", "value"}) {
      matrices.push_back(tensor(name + part + ".weight", {config_.hidden, config_.hidden}));
      biases.push_back(tensor(name + part + ".bias", {config_.hidden}));
    }
    return {at::cat(matrices), at::cat(biases)};
  }

  const BertConfig& config_;
  const Safetensors& weights_;
  std::string prefix_;
  std::size_t bytes_ = 0;
};

struct Weights {
  at::Tensor words;      ///< [vocabulary, hidden]
  at::Tensor positions;  ///< [positions, hidden], the embedding of token type 0 added
  LayerNorm norm;
  std::vector<Layer> layers;
  std::size_t bytes = 0;
};

Weights load_weights(const BertConfig& config, const Safetensors& file) {
  Loader loader(config, file);
  Weights weights;
  weights.words =
      loader.tensor("embeddings.word_embeddings.weight", {config.vocabulary, config.hidden});
  const at::Tensor types =
      loader.tensor("embeddings.token_type_embeddings.weight", {config.token_types, config.hidden});
  weights.positions =
      loader.tensor("embeddings.position_embeddings.weight", {config.positions, config.hidden})
          .add(types.select(0, 0));
  weights.norm = loader.layer_norm("embeddings.LayerNorm");
  for (std::int64_t i = 0; i < config.layers; ++i) weights.layers.push_back(loader.layer(i));
  weights.bytes = loader.bytes();
  return weights;
}

/// What went wrong, without the pages that libtorch adds for its own developers.
std::string first_line(const c10::Error& error) {
  const std::string text = error.what_without_backtrace();
  return text.substr(0, text.find('\n'));
}

/// Position of each token in its text: 0 … length-1 for every text as packed.
at::Tensor position_indices(const Packing& packing) {
  at::Tensor indices = at::empty({static_cast<std::int64_t>(packing.tokens)}, at::kInt);
  auto* next = indices.mutable_data_ptr<std::int32_t>();
  for (const EqualLengths& group : packing.groups) {
    for (std::size_t text = 0; text < group.texts; ++text) {
      for (std::size_t i = 0; i < group.length; ++i) *next++ = static_cast<std::int32_t>(i);
    }
  }
  return indices;
}

}  // namespace

class Bert::Impl {
 public:
  Impl(const BertConfig& config, const Safetensors& file)
      : heads_(config.heads), weights_(load_weights(config, file)) {}

  std::span<const float> forward(std::span<const std::int32_t> ids, const Packing& packing) {
    // OpenMP's number of threads belongs to the calling thread, which need not be the one that
    // loaded the model.
    at::init_num_threads();
    const c10::InferenceMode no_gradients;
    // One row goes through oneDNN's matrix-vector kernel, which sums in another order.
    if (packing.tokens == 1) {
      const std::array<std::int32_t, 2> twice = {ids[0], ids[0]};
      const std::array<std::size_t, 2> lengths = {1, 1};
      return compute(twice, pack(lengths)).first(static_cast<std::size_t>(weights_.words.size(1)));
    }
    return compute(ids, packing);
  }

  std::size_t weight_bytes() const { return weights_.bytes; }

 private:
  std::span<const float> compute(std::span<const std::int32_t> ids, const Packing& packing) {
    at::Tensor states = embed(ids, packing);
    for (const Layer& layer : weights_.layers) states = apply_layer(layer, states, packing);
    output_ = states.contiguous();
    return {output_.const_data_ptr<float>(), static_cast<std::size_t>(output_.numel())};
  }

  at::Tensor embed(std::span<const std::int32_t> ids, const Packing& packing) const {
    auto* elements = const_cast<std::int32_t*>(ids.data());  // from_blob only reads here
    const at::Tensor words =
        at::from_blob(elements, {static_cast<std::int64_t>(ids.size())}, at::kInt);
    at::Tensor sum = at::index_select(weights_.words, 0, words);
    sum += at::index_select(weights_.positions, 0, position_indices(packing));
    return weights_.norm.apply(sum);
  }

  at::Tensor apply_layer(const Layer& layer, const at::Tensor& x, const Packing& packing) const {
    const at::Tensor context = attend(layer.query_key_value.apply(x), packing);
    const at::Tensor attended =
        layer.attention_norm.apply(layer.attention_output.apply_add(context, x));
    const at::Tensor inner = layer.intermediate.apply_gelu(attended);
    return layer.output_norm.apply(layer.output.apply_add(inner, attended));
  }

  /// softmax(QKᵀ/√d)·V within each text. `qkv`: [tokens, 3 · hidden]; result: [tokens, hidden].
  at::Tensor attend(const at::Tensor& qkv, const Packing& packing) const {
    const std::int64_t hidden = qkv.size(1) / 3;
    at::Tensor context = at::empty({qkv.size(0), hidden}, qkv.options());
    for (const EqualLengths& group : packing.groups) {
      const auto first = static_cast<std::int64_t>(group.first_token);
      const auto texts = static_cast<std::int64_t>(group.texts);
      const auto length = static_cast<std::int64_t>(group.length);
      const at::Tensor parts = qkv.narrow(0, first, texts * length)
                                   .view({texts, length, 3, heads_, hidden / heads_})
                                   .permute({2, 0, 3, 1, 4});
      const at::Tensor result = std::get<0>(at::_scaled_dot_product_flash_attention_for_cpu(
          parts.select(0, 0), parts.select(0, 1), parts.select(0, 2)));
      context.narrow(0, first, texts * length)
          .view({texts, length, heads_, hidden / heads_})
          .copy_(result.transpose(1, 2));
    }
    return context;
  }

  std::int64_t heads_;
  Weights weights_;
  at::Tensor output_;
};

Bert::Bert(const BertConfig& config, const Safetensors& weights, int threads) {
  if (!at::globalContext().hasMKLDNN()) {
    throw StartupError(ExitCode::model, "this libtorch has no oneDNN, which CPU models need");
  }
  try {
    if (threads > 0) at::set_num_threads(threads);
    const c10::InferenceMode no_gradients;
    impl_ = std::make_unique<Impl>(config, weights);
  } catch (const c10::Error& error) {
    throw StartupError(ExitCode::model, std::string("libtorch: ") + error.what_without_backtrace());
  }
}

Bert::~Bert() = default;

std::span<const float> Bert::forward(std::span<const std::int32_t> ids, const Packing& packing) {
  try {
    return impl_->forward(ids, packing);
  } catch (const c10::Error& error) {
    throw std::runtime_error(first_line(error));
  }
}

std::size_t Bert::weight_bytes() const { return impl_->weight_bytes(); }

}  // namespace ml_worker
