#include "model/int8_linear.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/amax.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/round.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "model/activate.h"
#include "model/onednn.h"

namespace ml_worker {
namespace {

constexpr int kZero = 128;  // oneDNN's fast kernels take the left side unsigned
constexpr float kLargest = 127.0F;

/// Returns the row's scale: row[i] ≈ scale · (out[i] - kZero).
float quantize_row(std::span<const float> row, std::uint8_t* out) {
  float largest = 0.0F;
  for (const float value : row) largest = std::max(largest, std::abs(value));
  // A row that is not finite comes out so: its scale does.
  if (!std::isfinite(largest)) largest = std::nanf("");
  const float scale = largest / kLargest;
  const float inverse = largest > 0.0F ? kLargest / largest : 0.0F;
  for (std::size_t i = 0; i < row.size(); ++i) {
    // Adding 128.5 and cutting rounds to the nearest: what is cut is positive.
    out[i] = static_cast<std::uint8_t>(static_cast<int>(row[i] * inverse + (kZero + 0.5F)));
  }
  return scale;
}

void scale_row(float* row, std::span<const float> bias, float scale) {
  for (std::size_t i = 0; i < bias.size(); ++i) row[i] = row[i] * scale + bias[i];
}

std::span<const float> floats(const at::Tensor& tensor) {
  return {tensor.const_data_ptr<float>(), static_cast<std::size_t>(tensor.numel())};
}

}  // namespace

Int8Linear::Int8Linear(const at::Tensor& weight, const at::Tensor& bias) {
  static const auto prepack = onednn::find<onednn::QuantizedPrepack>("onednn::qlinear_prepack");
  const at::Tensor largest = at::amax(at::abs(weight), {1}).clamp_min(1e-12);
  scales_ = largest / static_cast<double>(kLargest);
  zero_points_ = at::zeros({weight.size(0)}, at::kInt);
  static const std::optional<c10::List<std::int64_t>> any_rows;
  weight_ = prepack.call(at::round(weight / scales_.unsqueeze(1)).to(at::kChar), any_rows);
  bias_ = bias.defined() ? bias.contiguous() : at::zeros({weight.size(0)}, at::kFloat);
  bytes_ = static_cast<std::size_t>(weight.numel()) + scales_.nbytes() + bias_.nbytes();
}

at::Tensor Int8Linear::apply(const at::Tensor& x, Activation activation) const {
  static const auto op = onednn::find<onednn::QuantizedLinear>("onednn::qlinear_pointwise");
  const at::Tensor rows = x.contiguous();
  const auto in = static_cast<std::size_t>(x.size(1));
  const at::Tensor quantized = at::empty(x.sizes(), at::kByte);
  std::vector<float> scales(static_cast<std::size_t>(x.size(0)));
  const auto* from = rows.const_data_ptr<float>();
  auto* to = quantized.mutable_data_ptr<std::uint8_t>();
  at::parallel_for(0, x.size(0), 16, [&](std::int64_t begin, std::int64_t end) {
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
      scales[i] = quantize_row({from + i * in, in}, to + i * in);
    }
  });
  at::Tensor y = op.call(quantized, 1.0, kZero, weight_, scales_, zero_points_, std::nullopt, 1.0,
                         0, at::kFloat, "none", onednn::Scalars(), "none");
  const auto bias = floats(bias_);
  auto* out = y.mutable_data_ptr<float>();
  // Row by row: ATen's functions compute the end of a block otherwise than its middle.
  at::parallel_for(0, y.size(0), 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      scale_row(out + i * y.size(1), bias, scales[static_cast<std::size_t>(i)]);
      activate(y.narrow(0, i, 1), activation);
    }
  });
  return y;
}

at::Tensor Int8Linear::apply_add(const at::Tensor& x, const at::Tensor& other) const {
  return apply(x, Activation::identity) + other;
}

at::Tensor Int8Linear::apply_multiply(const at::Tensor& x, const at::Tensor& other) const {
  return apply(x, Activation::identity) * other;
}

}  // namespace ml_worker
