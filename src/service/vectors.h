// From the options of a call to the shape of its vectors, and from a raw vector to a finished one.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ml_worker/encoder.h"
#include "ml_worker/error.h"
#include "ml_worker/service.h"

namespace ml_worker {

/// The options that change a vector, with the model's own values put in where the caller said
/// nothing. Two calls that mean the same have equal shapes. `truncate` is not among them: it
/// decides between a vector and an error, never between two vectors.
struct VectorShape {
  bool normalize = false;
  std::size_t dimensions = 0;
  TruncationSide truncation_side = TruncationSide::right;
  /// Leading tokens that pooling leaves out. The prompt's text itself counts as the text's.
  std::size_t unpooled = 0;
};

/// bad_argument if the model has fewer dimensions than asked for, or 0 are asked for; for a
/// classification model, if its scores are to be cut or normalised.
Result<VectorShape> resolve_shape(const EncodeOptions& options, const ModelDescription& model);

/// What stands before the text (or pair) in a cache key: fingerprint and shape. No two different
/// ones give equal keys, whatever the texts are.
std::string cache_key_prefix(const ModelDescription& model, const VectorShape& shape);

/// `raw` cut to the shape's dimensions, then, if it normalises, divided by max(‖x‖₂, 1e-12) as
/// torch.nn.functional.normalize does. None if any element of `raw` or of the result is not finite.
std::optional<std::vector<float>> finish_vector(std::span<const float> raw,
                                                const VectorShape& shape);

}  // namespace ml_worker
