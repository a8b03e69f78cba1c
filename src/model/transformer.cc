#include "model/transformer.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/from_blob.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "model/attention.h"
#include "model/embedding.h"
#include "model/kernels.h"
#include "model/layers.h"
#include "model/libtorch.h"
#include "model/pass.h"
#include "model/tensor_reader.h"

namespace ml_worker {
namespace {

struct Layer {
  Linear query_key_value;
  Linear attention_output;
  std::optional<LayerNorm> attention_norm;
  Linear up;
  std::optional<Linear> gate;
  Linear down;
  LayerNorm output_norm;
};

/// Of the states between layers. Where norms come first nothing rescales the sum of all layers, and
/// 16 bits would round it again and again.
at::ScalarType residual_type(const TransformerConfig& config, const Kernels& kernels) {
  return config.architecture->norm_first ? at::kFloat : scalar_type(kernels.precision);
}

/// Takes the layers out of the weights, under the architecture's names.
class LayerLoader {
 public:
  LayerLoader(const TransformerConfig& config, TensorReader& reader)
      : config_(config), names_(config.architecture->tensors), reader_(reader) {}

  Layer load(std::int64_t index) {
    const std::string at = std::string(names_.layers) + std::to_string(index) + ".";
    // What norm_first puts before the first layer's attention stands behind the embedding already.
    const bool has_norm = index > 0 || !config_.architecture->norm_first;
    return {query_key_value(at),
            reader_.linear(at + std::string(names_.attention_output), config_.hidden,
                           config_.hidden, config_.attention_bias),
            has_norm ? std::optional(norm(at, names_.attention_norm)) : std::nullopt,
            up_or_gate(at, 0),
            config_.architecture->gated ? std::optional(up_or_gate(at, 1)) : std::nullopt,
            reader_.linear(at + std::string(names_.down), config_.intermediate, config_.hidden,
                           config_.feed_forward_bias),
            norm(at, names_.output_norm)};
  }

 private:
  LayerNorm norm(const std::string& at, std::string_view name) {
    return reader_.norm(at + std::string(name), config_.hidden, config_.norm_epsilon,
                        config_.norm_bias, residual_type(config_, reader_.kernels()));
  }

  /// One matrix multiply for the three.
  Linear query_key_value(const std::string& at) {
    if (!names_.query_key_value.empty()) {
      return reader_.linear(at + std::string(names_.query_key_value), config_.hidden,
                            3 * config_.hidden, config_.attention_bias);
    }
    std::vector<at::Tensor> matrices;
    std::vector<at::Tensor> biases;
    for (const auto name : {names_.query, names_.key, names_.value}) {
      const std::string part = at + std::string(name);
      matrices.push_back(reader_.peek(part + ".weight", {config_.hidden, config_.hidden}));
      biases.push_back(reader_.peek(part + ".bias", {config_.hidden}));
    }
    return reader_.linear(at::cat(matrices), at::cat(biases));
  }

  /// Halves of one matrix where there is a gate.
  Linear up_or_gate(const std::string& at, std::int64_t half) {
    const std::string name = at + std::string(names_.up);
    const std::int64_t rows = config_.intermediate;
    const std::int64_t stored = config_.architecture->gated ? 2 * rows : rows;
    const at::Tensor weight = reader_.peek(name + ".weight", {stored, config_.hidden});
    at::Tensor bias;
    if (config_.feed_forward_bias) {
      bias = reader_.peek(name + ".bias", {stored}).narrow(0, half * rows, rows);
    }
    return reader_.linear(weight.narrow(0, half * rows, rows), bias);
  }

  const TransformerConfig& config_;
  const TensorNames& names_;
  TensorReader& reader_;
};

std::vector<Layer> load_layers(const TransformerConfig& config, TensorReader& reader) {
  LayerLoader loader(config, reader);
  std::vector<Layer> layers;
  for (std::int64_t i = 0; i < config.layers; ++i) layers.push_back(loader.load(i));
  return layers;
}

std::optional<RelativeBias> load_relative_bias(const TransformerConfig& config,
                                               TensorReader& reader) {
  const std::string name(config.architecture->tensors.relative_bias);
  if (name.empty()) return std::nullopt;
  return RelativeBias(reader.peek(name + ".weight", {32, config.heads}),
                      static_cast<std::int64_t>(config.max_tokens()), reader.kernels());
}

/// A view, to be read at once.
at::Tensor view(const std::vector<std::int32_t>& numbers) {
  auto* elements = const_cast<std::int32_t*>(numbers.data());  // from_blob only reads here
  return at::from_blob(elements, {static_cast<std::int64_t>(numbers.size())}, at::kInt);
}

/// oneDNN makes a kernel for each number of rows.
std::size_t rows_of(std::size_t tokens, Precision precision) {
  return NativeLinear::takes(precision) ? tokens : rows_for(tokens);
}

/// With zeros up to `rows`, which nobody reads.
std::vector<std::int32_t> filled_up(std::vector<std::int32_t> numbers, std::size_t rows) {
  numbers.resize(rows);
  return numbers;
}

std::vector<float> to_floats(const at::Tensor& states) {
  const at::Tensor rows = states.to(at::kFloat).contiguous();
  const float* first = rows.const_data_ptr<float>();
  return {first, first + rows.numel()};
}

}  // namespace

std::string encoder_prefix(const Architecture& architecture, const Weights& weights) {
  const std::string first = std::string(architecture.tensors.words) + ".weight";
  const std::string prefix(architecture.prefix);
  return !weights.has(first) && weights.has(prefix + first) ? prefix : "";
}

class Transformer::Impl {
 public:
  Impl(const TransformerConfig& config, TensorReader reader)
      : config_(config),
        kernels_(reader.kernels()),
        embedding_(config_, reader),
        relative_bias_(load_relative_bias(config_, reader)),
        layers_(load_layers(config_, reader)),
        type_(scalar_type(kernels_.precision)) {
    const std::string final_norm(config.architecture->tensors.final_norm);
    if (!final_norm.empty()) {
      final_norm_ = reader.norm(final_norm, config.hidden, config.norm_epsilon, config.norm_bias,
                                residual_type(config, kernels_));
    }
    if (config.architecture->positions == Positions::rotary) {
      rotary_.emplace(config.rotary_base, head_size(), config.positions, kernels_.device);
      local_rotary_.emplace(config.local_rotary_base, head_size(), config.positions,
                            kernels_.device);
    }
    bytes_ = reader.bytes();
  }

  std::vector<float> forward(const PackedTokens& tokens) const {
    const std::size_t size = rows_of(tokens.packing.tokens, kernels_.precision);
    const std::vector<std::int32_t> ids = filled_up(tokens.ids, size);
    const std::vector<std::int32_t> rows = filled_up(position_rows(config_, tokens), size);
    const std::vector<std::int32_t> places = filled_up(places_in_text(tokens.packing), size);
    const std::vector<std::int32_t> bounds = text_bounds(tokens.packing);
    const Pass pass{tokens.packing, view(ids),    view(rows),
                    view(places),   view(bounds), longest_text(tokens.packing)};
    return to_floats(states(pass).narrow(0, 0, static_cast<std::int64_t>(tokens.packing.tokens)));
  }

  at::Tensor states(const Pass& pass) const {
    LocalMask local_mask(config_.window, kernels_);
    at::Tensor states = embedding_.apply(pass.ids, pass.rows).to(residual_type(config_, kernels_));
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      states = apply_layer(i, states, pass, local_mask);
    }
    return final_norm_ ? final_norm_->apply(states) : states;
  }

  const TransformerConfig& config() const { return config_; }
  bool takes_any_lengths() const { return kernels_.varlen && !relative_bias_; }
  std::size_t weight_bytes() const { return bytes_; }

 private:
  std::int64_t head_size() const { return config_.hidden / config_.heads; }

  /// x + y·Wᵀ + b, in the type of x.
  static at::Tensor add_to(const at::Tensor& x, const Linear& linear, const at::Tensor& y) {
    return x.scalar_type() == y.scalar_type() ? linear.apply_add(y, x) : x + linear.apply(y);
  }

  at::Tensor apply_layer(std::size_t index, const at::Tensor& x, const Pass& pass,
                         LocalMask& local_mask) const {
    const Layer& layer = layers_[index];
    if (config_.architecture->norm_first) {
      const at::Tensor normed = layer.attention_norm ? layer.attention_norm->apply(x) : x;
      const at::Tensor attended = add_to(x, layer.attention_output,
                                         attend_layer(index, normed.to(type_), pass, local_mask));
      const at::Tensor widened = widen(layer, layer.output_norm.apply(attended).to(type_));
      return add_to(attended, layer.down, widened);
    }
    const at::Tensor attended = add_and_norm(
        x, layer.attention_output, attend_layer(index, x, pass, local_mask), *layer.attention_norm);
    return add_and_norm(attended, layer.down, widen(layer, attended), layer.output_norm);
  }

  /// The norm of x + y·Wᵀ + b.
  at::Tensor add_and_norm(const at::Tensor& x, const Linear& linear, const at::Tensor& y,
                          const LayerNorm& norm) const {
    if (kernels_.norm_of_sum) return kernels_.norm_of_sum(linear.apply(y), x, norm);
    return norm.apply(linear.apply_add(y, x));
  }

  at::Tensor widen(const Layer& layer, const at::Tensor& x) const {
    const at::Tensor activated = layer.up.apply(x, config_.activation);
    return layer.gate ? layer.gate->apply_multiply(x, activated) : activated;
  }

  at::Tensor attend_layer(std::size_t index, const at::Tensor& x, const Pass& pass,
                          LocalMask& local_mask) const {
    const at::Tensor qkv = layers_[index].query_key_value.apply(x);
    const bool local = !config_.local.empty() && config_.local[index];
    if (rotary_) (local ? local_rotary_ : rotary_)->apply(qkv, config_.heads, pass.places);
    if (takes_any_lengths()) {
      return kernels_
          .varlen(qkv.view({qkv.size(0), 3, config_.heads, head_size()}), pass.bounds, pass.longest,
                  local ? config_.window : -1)
          .reshape({qkv.size(0), config_.hidden});
    }
    AttentionMask mask;
    if (relative_bias_) mask = [this](std::int64_t n) { return relative_bias_->mask(n); };
    if (local) mask = [&local_mask](std::int64_t n) { return local_mask.mask(n); };
    return attend(qkv, config_.heads, pass.packing, mask, kernels_);
  }

  TransformerConfig config_;
  Kernels kernels_;
  Embedding embedding_;
  std::optional<RelativeBias> relative_bias_;
  std::vector<Layer> layers_;
  at::ScalarType type_;
  std::optional<LayerNorm> final_norm_;
  std::optional<Rotary> rotary_;
  std::optional<Rotary> local_rotary_;
  std::size_t bytes_ = 0;
};

Transformer::Transformer(const TransformerConfig& config, const Weights& weights,
                         const Kernels& kernels)
    : impl_(libtorch::loading([&] {
        const std::string prefix = encoder_prefix(*config.architecture, weights);
        return std::make_unique<Impl>(config, TensorReader(weights, prefix, kernels));
      })) {}

Transformer::~Transformer() = default;

std::vector<float> Transformer::forward(const PackedTokens& tokens) const {
  return libtorch::running([&] { return impl_->forward(tokens); });
}

at::Tensor Transformer::states(const Pass& pass) const { return impl_->states(pass); }

const TransformerConfig& Transformer::config() const { return impl_->config(); }

bool Transformer::takes_any_lengths() const { return impl_->takes_any_lengths(); }

std::size_t Transformer::weight_bytes() const { return impl_->weight_bytes(); }

}  // namespace ml_worker
