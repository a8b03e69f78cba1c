#include "model/pooling.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace ml_worker {
namespace {

void pool_max(std::span<const float> tokens, std::span<float> out) {
  const std::size_t hidden = out.size();
  std::copy_n(tokens.begin(), hidden, out.begin());
  for (std::size_t row = hidden; row < tokens.size(); row += hidden) {
    // NaN must come out as NaN, for the caller to refuse.
    for (std::size_t i = 0; i < hidden; ++i) {
      const float value = tokens[row + i];
      if (value > out[i] || std::isnan(value)) out[i] = value;
    }
  }
}

/// Σ weight(t) · token(t), divided by `divisor`; weight(t) is 1 or, if `weighted`, t from 1.
void pool_sum(std::span<const float> tokens, bool weighted, float divisor, std::span<float> out) {
  const std::size_t hidden = out.size();
  std::fill(out.begin(), out.end(), 0.0F);
  float weight = 1.0F;
  for (std::size_t row = 0; row < tokens.size(); row += hidden) {
    const float* token = tokens.data() + row;
    for (std::size_t i = 0; i < hidden; ++i) out[i] += weight * token[i];
    if (weighted) weight += 1.0F;
  }
  for (float& value : out) value /= divisor;
}

void pool_one(PoolingMode mode, std::span<const float> tokens, std::span<float> out) {
  const std::size_t tokens_in_text = tokens.size() / out.size();
  const auto length = static_cast<float>(tokens_in_text);
  switch (mode) {
    case PoolingMode::cls:
      std::copy_n(tokens.begin(), out.size(), out.begin());
      return;
    case PoolingMode::last_token:
      std::copy(tokens.end() - static_cast<std::ptrdiff_t>(out.size()), tokens.end(), out.begin());
      return;
    case PoolingMode::max:
      return pool_max(tokens, out);
    case PoolingMode::mean:
      return pool_sum(tokens, false, length, out);
    case PoolingMode::mean_sqrt_len:
      return pool_sum(tokens, false, std::sqrt(length), out);
    case PoolingMode::weighted_mean:
      return pool_sum(tokens, true, length * (length + 1.0F) / 2.0F, out);
  }
}

}  // namespace

std::optional<PoolingMode> parse_pooling_mode(std::string_view name) {
  static constexpr std::array<std::pair<std::string_view, PoolingMode>, 6> kModes = {
      {{"cls", PoolingMode::cls},
       {"max", PoolingMode::max},
       {"mean", PoolingMode::mean},
       {"mean_sqrt_len_tokens", PoolingMode::mean_sqrt_len},
       {"weightedmean", PoolingMode::weighted_mean},
       {"lasttoken", PoolingMode::last_token}}};
  for (const auto& [known, mode] : kModes) {
    if (known == name) return mode;
  }
  return std::nullopt;
}

void pool(std::span<const PoolingMode> modes, std::span<const float> tokens, std::size_t hidden,
          std::span<float> vector) {
  for (std::size_t i = 0; i < modes.size(); ++i) {
    pool_one(modes[i], tokens, vector.subspan(i * hidden, hidden));
  }
}

}  // namespace ml_worker
