// Token vectors to one vector per text, as sentence-transformers' Pooling module does it.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace ml_worker {

enum class PoolingMode { cls, max, mean, mean_sqrt_len, weighted_mean, last_token };

/// "mean", "cls" … as in the field `pooling_mode`; none for a mode that is not known.
std::optional<PoolingMode> parse_pooling_mode(std::string_view name);
std::string_view name_of(PoolingMode mode);

/// `tokens`: row-major [length, hidden] with length ≥ 1, of which the first `unpooled` (a prompt's)
/// are left out. `vector`: [modes.size() · hidden], the results of the modes one after another.
/// Sums run in the order of the tokens, whatever the batch. If nothing is left, the result is
/// sentence-transformers': the first token for `cls`, -inf for `max`, else 0.
void pool(std::span<const PoolingMode> modes, std::span<const float> tokens, std::size_t hidden,
          std::size_t unpooled, std::span<float> vector);

}  // namespace ml_worker
