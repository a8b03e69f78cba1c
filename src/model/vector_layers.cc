#include "model/vector_layers.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "model/layers.h"
#include "model/libtorch.h"
#include "model/tensor_reader.h"
#include "model/transformer.h"

namespace ml_worker {
namespace {

struct DenseLayer {
  Linear linear;
  Activation activation;
  bool residual = false;
  std::optional<Linear> residual_matrix;

  at::Tensor apply(const at::Tensor& x) const {
    at::Tensor y = linear.apply(x, activation);
    if (!residual) return y;
    return y + (residual_matrix ? residual_matrix->apply(x) : x);
  }
};

/// x / max(|x|, 1e-12), row by row.
struct Normalize {
  at::Tensor apply(const at::Tensor& x) const {
    const at::Tensor rows = x.contiguous();
    at::Tensor result = at::empty_like(rows);
    const auto size = static_cast<std::size_t>(rows.size(1));
    for (std::int64_t i = 0; i < rows.size(0); ++i) {
      const std::span row(rows.const_data_ptr<float>() + i * rows.size(1), size);
      double square = 0.0;
      for (const float value : row) square += double{value} * double{value};
      const auto norm = static_cast<float>(std::max(std::sqrt(square), 1e-12));
      std::transform(row.begin(), row.end(), result.mutable_data_ptr<float>() + i * rows.size(1),
                     [norm](float value) { return value / norm; });
    }
    return result;
  }
};

using VectorLayer = std::variant<DenseLayer, LayerNorm, Normalize>;

DenseLayer load_dense(TensorReader& reader, const VectorModule& module) {
  DenseLayer layer{reader.linear("linear", module.in, module.out, module.bias), module.activation,
                   module.residual, std::nullopt};
  if (module.residual && module.in != module.out) {
    layer.residual_matrix = reader.linear("residual", module.in, module.out, false);
  }
  return layer;
}

constexpr double kNormEpsilon = 1e-5;  // torch.nn.LayerNorm's

}  // namespace

class VectorLayers::Impl {
 public:
  void add(const std::filesystem::path& directory, const VectorModule& module) {
    if (module.kind == VectorModule::Kind::normalize) {
      layers_.emplace_back(Normalize{});
      return;
    }
    const Weights weights(directory / module.folder);
    TensorReader reader(weights, "", Precision::float32);
    if (module.kind == VectorModule::Kind::dense) {
      layers_.emplace_back(load_dense(reader, module));
    } else {
      layers_.emplace_back(reader.norm("norm", module.in, kNormEpsilon, true, at::kFloat));
    }
    bytes_ += reader.bytes();
  }

  void add_head(const TransformerConfig& config, const Weights& weights, Activation activation) {
    const HeadNames& names = config.architecture->head;
    const std::string encoder = encoder_prefix(*config.architecture, weights);
    TensorReader below(weights, names.dense_in_encoder ? encoder : "", Precision::float32);
    TensorReader reader(weights, "", Precision::float32);
    const auto labels = static_cast<std::int64_t>(config.labels.size());
    layers_.emplace_back(DenseLayer{
        below.linear(std::string(names.dense), config.hidden, config.hidden, config.head_bias),
        config.head_activation, false, std::nullopt});
    if (!names.norm.empty()) {
      layers_.emplace_back(reader.norm(std::string(names.norm), config.hidden, config.norm_epsilon,
                                       config.norm_bias, at::kFloat));
    }
    layers_.emplace_back(
        DenseLayer{reader.linear(std::string(names.classifier), config.hidden, labels, true),
                   activation, false, std::nullopt});
    bytes_ += below.bytes() + reader.bytes();
  }

  std::vector<float> apply(std::vector<float>& rows, std::size_t texts) const {
    const auto count = static_cast<std::int64_t>(texts);
    at::Tensor x = at::from_blob(
        rows.data(), {count, static_cast<std::int64_t>(rows.size()) / count}, at::kFloat);
    for (const VectorLayer& layer : layers_) {
      x = std::visit([&x](const auto& kind) { return kind.apply(x); }, layer);
    }
    const at::Tensor result = x.contiguous();
    const float* first = result.const_data_ptr<float>();
    return {first, first + result.numel()};
  }

  std::size_t weight_bytes() const { return bytes_; }

 private:
  std::vector<VectorLayer> layers_;
  std::size_t bytes_ = 0;
};

VectorLayers::VectorLayers(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
VectorLayers::~VectorLayers() = default;

std::unique_ptr<VectorLayers> VectorLayers::load(const std::filesystem::path& directory,
                                                 std::span<const VectorModule> modules) {
  return libtorch::loading([&] {
    auto impl = std::make_unique<Impl>();
    for (const VectorModule& module : modules) impl->add(directory, module);
    return std::unique_ptr<VectorLayers>(new VectorLayers(std::move(impl)));
  });
}

std::unique_ptr<VectorLayers> VectorLayers::load_head(const TransformerConfig& config,
                                                      const Weights& weights,
                                                      Activation activation) {
  return libtorch::loading([&] {
    auto impl = std::make_unique<Impl>();
    impl->add_head(config, weights, activation);
    return std::unique_ptr<VectorLayers>(new VectorLayers(std::move(impl)));
  });
}

std::vector<float> VectorLayers::apply(std::vector<float> rows, std::size_t texts) const {
  return libtorch::running([&] { return impl_->apply(rows, texts); });
}

std::size_t VectorLayers::weight_bytes() const { return impl_->weight_bytes(); }

}  // namespace ml_worker
