#include "service/vectors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace ml_worker {
namespace {

/// `eps` of torch.nn.functional.normalize.
constexpr double kSmallestNorm = 1e-12;

bool all_finite(std::span<const float> values) {
  return std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); });
}

/// The sum is in double: squares of finite float32 never overflow there.
void normalize(std::vector<float>& values) {
  double squares = 0.0;
  for (const float x : values) squares += double{x} * double{x};
  const double norm = std::max(std::sqrt(squares), kSmallestNorm);
  for (float& x : values) x = static_cast<float>(double{x} / norm);
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
  if (!all_finite(raw)) return std::nullopt;
  const auto kept = raw.first(std::min(shape.dimensions, raw.size()));
  std::vector<float> values(kept.begin(), kept.end());
  if (shape.normalize) normalize(values);
  return values;
}

}  // namespace ml_worker
