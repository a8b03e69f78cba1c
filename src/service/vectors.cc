#include "service/vectors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

namespace ml_worker {
namespace {

/// `eps` of torch.nn.functional.normalize.
constexpr double kSmallestNorm = 1e-12;

/// In double: squares of finite float32 never overflow there, so that the sum is finite if all of
/// them are. In parts that the processor adds side by side.
double sum_of_squares(std::span<const float> values) {
  constexpr std::size_t kParts = 8;
  std::array<double, kParts> parts{};
  std::size_t i = 0;
  for (; i + kParts <= values.size(); i += kParts) {
    for (std::size_t j = 0; j < kParts; ++j)
      parts[j] += double{values[i + j]} * double{values[i + j]};
  }
  for (; i < values.size(); ++i) parts[0] += double{values[i]} * double{values[i]};
  return std::accumulate(parts.begin(), parts.end(), 0.0);
}

}  // namespace

Result<VectorShape> resolve_shape(const EncodeOptions& options, const ModelDescription& model) {
  VectorShape shape;
  if (model.task == ModelTask::classification && (options.dimensions || options.normalize)) {
    return errors::bad_argument(options.dimensions ? "dimensions" : "normalize",
                                "expected none for the scores of " + model.name + ", got a value");
  }
  shape.normalize =
      model.task == ModelTask::embedding && options.normalize.value_or(model.normalizes);
  shape.dimensions = options.dimensions.value_or(model.dimensions);
  shape.truncation_side = options.truncation_side.value_or(model.truncation_side);
  if (shape.dimensions < 1 || shape.dimensions > model.dimensions) {
    return errors::bad_argument(
        "dimensions", fmt::format("expected 1 to {}, got {}", model.dimensions, shape.dimensions));
  }
  return shape;
}

std::string cache_key_prefix(const ModelDescription& model, const VectorShape& shape) {
  return fmt::format("{}:{}{}:{}{}{}{},{}:", model.model_id.size(), model.model_id,
                     model.numerics.size(), model.numerics, shape.normalize ? 'n' : '-',
                     shape.truncation_side == TruncationSide::left ? 'l' : 'r', shape.dimensions,
                     shape.unpooled);
}

std::optional<std::vector<float>> finish_vector(std::span<const float> raw,
                                                const VectorShape& shape) {
  const auto kept = raw.first(std::min(shape.dimensions, raw.size()));
  const double squares = sum_of_squares(kept);
  if (!std::isfinite(squares + sum_of_squares(raw.subspan(kept.size())))) return std::nullopt;
  if (!shape.normalize) return std::vector<float>(kept.begin(), kept.end());
  const double norm = std::max(std::sqrt(squares), kSmallestNorm);
  std::vector<float> values(kept.size());
  std::transform(kept.begin(), kept.end(), values.begin(),
                 [norm](float x) { return static_cast<float>(double{x} / norm); });
  return values;
}

}  // namespace ml_worker
