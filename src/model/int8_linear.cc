#include "model/int8_linear.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/amax.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/round.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "ml_worker/vector_width.h"
#include "model/activate.h"
#include "model/onednn.h"

namespace ml_worker {
namespace {

constexpr int kZero = 128;  // oneDNN's fast kernels take the left side unsigned
constexpr float kLargest = 127.0F;

/// The largest absolute value; not finite if one is not. Bit patterns without the sign are in the
/// order of the values, and integers are what compilers find the largest of in vector registers.
ML_WORKER_FOR_EACH_VECTOR_WIDTH
float largest_of(const float* row, std::size_t size) {
  std::int32_t largest = 0;
  for (std::size_t i = 0; i < size; ++i) {
    largest = std::max(largest, std::bit_cast<std::int32_t>(row[i]) & INT32_MAX);
  }
  return std::bit_cast<float>(largest);
}

ML_WORKER_FOR_EACH_VECTOR_WIDTH
void quantize(const float* row, std::size_t size, float inverse, std::uint8_t* out) {
  for (std::size_t i = 0; i < size; ++i) {
    // Adding 128.5 and cutting rounds to the nearest: what is cut is positive.
    out[i] = static_cast<std::uint8_t>(static_cast<int>(row[i] * inverse + (kZero + 0.5F)));
  }
}

ML_WORKER_FOR_EACH_VECTOR_WIDTH
void scale_row(float* row, const float* bias, std::size_t size, float scale) {
  for (std::size_t i = 0; i < size; ++i) row[i] = row[i] * scale + bias[i];
}

/// Returns the row's scale: row[i] ≈ scale · (out[i] - kZero).
float quantize_row(std::span<const float> row, std::uint8_t* out) {
  float largest = largest_of(row.data(), row.size());
  // A row that is not finite comes out so: its scale does.
  if (!std::isfinite(largest)) largest = std::nanf("");
  quantize(row.data(), row.size(), largest > 0.0F ? kLargest / largest : 0.0F, out);
  return largest / kLargest;
}

/// ATen's functions compute the end of a block otherwise than its middle, where blocks are not made
/// of whole vectors: then each row is a block of its own, so that its neighbours change nothing.
void activate_rows(const at::Tensor& rows, std::int64_t begin, std::int64_t end,
                   Activation activation) {
  constexpr std::int64_t kVectors = 64;
  const std::int64_t block = rows.size(1) % kVectors == 0 ? end - begin : 1;
  for (std::int64_t i = begin; i < end; i += block) activate(rows.narrow(0, i, block), activation);
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
  const auto size = static_cast<std::size_t>(y.size(1));
  const auto* bias = bias_.const_data_ptr<float>();
  auto* out = y.mutable_data_ptr<float>();
  at::parallel_for(0, y.size(0), 16, [&](std::int64_t begin, std::int64_t end) {
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
      scale_row(out + i * size, bias, size, scales[i]);
    }
    activate_rows(y, begin, end, activation);
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
