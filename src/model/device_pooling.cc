#include "model/device_pooling.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/segment_reduce.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace ml_worker {
namespace {

/// A text's part of one mode's weights, of which the first `unpooled` are left out.
struct Weights {
  std::span<float> values;
  std::size_t unpooled;

  std::span<float> pooled() const { return values.subspan(std::min(unpooled, values.size())); }
};

void weigh_evenly(const Weights& text, bool by_root) {
  const auto pooled = text.pooled();
  const auto count = static_cast<float>(pooled.size());
  std::fill(pooled.begin(), pooled.end(), 1.0F / (by_root ? std::sqrt(count) : count));
}

/// By the place in the text, from 1.
void weigh_by_place(const Weights& text) {
  const auto pooled = text.pooled();
  float place = static_cast<float>(text.values.size() - pooled.size());
  float total = 0.0F;
  for (float& weight : pooled) total += weight = ++place;
  for (float& weight : pooled) weight /= total;
}

void weigh(PoolingMode mode, const Weights& text) {
  const auto pooled = text.pooled();
  switch (mode) {
    case PoolingMode::cls:
      (pooled.empty() ? text.values : pooled).front() = 1.0F;
      return;
    case PoolingMode::last_token:
      if (!pooled.empty()) pooled.back() = 1.0F;
      return;
    case PoolingMode::max:
      std::fill(text.values.begin(), text.values.end(), -std::numeric_limits<float>::infinity());
      std::fill(pooled.begin(), pooled.end(), 0.0F);
      return;
    case PoolingMode::mean:
      return weigh_evenly(text, false);
    case PoolingMode::mean_sqrt_len:
      return weigh_evenly(text, true);
    case PoolingMode::weighted_mean:
      return weigh_by_place(text);
  }
}

}  // namespace

PoolingTables pooling_tables(std::span<const PoolingMode> modes,
                             std::span<const EncoderInput> inputs, const Packing& packing) {
  PoolingTables tables;
  for (const std::size_t text : packing.order) {
    tables.lengths.push_back(static_cast<std::int32_t>(inputs[text].ids.size()));
  }
  tables.weights.resize(modes.size() * packing.tokens, 0.0F);
  for (std::size_t mode = 0; mode < modes.size(); ++mode) {
    const auto row = std::span(tables.weights).subspan(mode * packing.tokens, packing.tokens);
    for (std::size_t text = 0; text < inputs.size(); ++text) {
      weigh(modes[mode], {row.subspan(packing.first_tokens[text], inputs[text].ids.size()),
                          inputs[text].unpooled});
    }
  }
  return tables;
}

at::Tensor pool_packed(std::span<const PoolingMode> modes, const at::Tensor& states,
                       const at::Tensor& lengths, const at::Tensor& weights) {
  std::vector<at::Tensor> vectors;
  for (std::size_t i = 0; i < modes.size(); ++i) {
    const at::Tensor weight = weights.select(0, static_cast<std::int64_t>(i)).unsqueeze(1);
    const bool is_max = modes[i] == PoolingMode::max;
    // Not checked: that would wait for the device.
    constexpr bool kUnchecked = true;
    vectors.push_back(at::segment_reduce(is_max ? states + weight : states * weight,
                                         is_max ? "max" : "sum", lengths, {}, {}, 0, kUnchecked));
  }
  return vectors.size() == 1 ? vectors.front() : at::cat(vectors, 1);
}

}  // namespace ml_worker
