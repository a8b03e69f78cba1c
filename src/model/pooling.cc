#include "model/pooling.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

namespace ml_worker {
namespace {

/// In the order of PoolingMode.
constexpr std::array<std::pair<std::string_view, PoolingMode>, 6> kModes = {
    {{"cls", PoolingMode::cls},
     {"max", PoolingMode::max},
     {"mean", PoolingMode::mean},
     {"mean_sqrt_len_tokens", PoolingMode::mean_sqrt_len},
     {"weightedmean", PoolingMode::weighted_mean},
     {"lasttoken", PoolingMode::last_token}}};

/// A text's tokens, those left out included.
struct Rows {
  std::span<const float> values;
  std::size_t hidden;
  std::size_t first;  ///< that is pooled

  std::size_t count() const { return values.size() / hidden; }
  const float* row(std::size_t i) const { return values.data() + i * hidden; }
};

void pool_max(const Rows& rows, std::span<float> out) {
  std::fill(out.begin(), out.end(), -std::numeric_limits<float>::infinity());
  for (std::size_t row = rows.first; row < rows.count(); ++row) {
    // NaN must come out as NaN, for the caller to refuse.
    for (std::size_t i = 0; i < out.size(); ++i) {
      const float value = rows.row(row)[i];
      if (value > out[i] || std::isnan(value)) out[i] = value;
    }
  }
}

/// Σ weight(t) · token(t); weight(t) is 1 or, if `weighted`, the token's place in the text from 1.
/// Returns the sum of the weights.
float pool_sum(const Rows& rows, bool weighted, std::span<float> out) {
  std::fill(out.begin(), out.end(), 0.0F);
  float total = 0.0F;
  for (std::size_t row = rows.first; row < rows.count(); ++row) {
    const float weight = weighted ? static_cast<float>(row + 1) : 1.0F;
    const float* token = rows.row(row);
    for (std::size_t i = 0; i < out.size(); ++i) out[i] += weight * token[i];
    total += weight;
  }
  return total;
}

void divide(std::span<float> out, float divisor) {
  for (float& value : out) value /= std::max(divisor, 1e-9F);
}

void pool_last(const Rows& rows, std::span<float> out) {
  if (rows.first < rows.count()) {
    std::copy_n(rows.row(rows.count() - 1), out.size(), out.begin());
  } else {
    std::fill(out.begin(), out.end(), 0.0F);
  }
}

void pool_one(PoolingMode mode, const Rows& rows, std::span<float> out) {
  switch (mode) {
    case PoolingMode::cls:
      std::copy_n(rows.row(rows.first < rows.count() ? rows.first : 0), out.size(), out.begin());
      return;
    case PoolingMode::last_token:
      return pool_last(rows, out);
    case PoolingMode::max:
      return pool_max(rows, out);
    case PoolingMode::mean:
      return divide(out, pool_sum(rows, false, out));
    case PoolingMode::mean_sqrt_len:
      return divide(out, std::sqrt(pool_sum(rows, false, out)));
    case PoolingMode::weighted_mean:
      return divide(out, pool_sum(rows, true, out));
  }
}

}  // namespace

std::string_view name_of(PoolingMode mode) {
  return kModes.at(static_cast<std::size_t>(mode)).first;
}

std::optional<PoolingMode> parse_pooling_mode(std::string_view name) {
  for (const auto& [known, mode] : kModes) {
    if (known == name) return mode;
  }
  return std::nullopt;
}

void pool(std::span<const PoolingMode> modes, std::span<const float> tokens, std::size_t hidden,
          std::size_t unpooled, std::span<float> vector) {
  const Rows rows{tokens, hidden, unpooled};
  for (std::size_t i = 0; i < modes.size(); ++i) {
    pool_one(modes[i], rows, vector.subspan(i * hidden, hidden));
  }
}

}  // namespace ml_worker
