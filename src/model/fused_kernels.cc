#include "model/fused_kernels.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <array>
#include <cmath>
#include <string>
#include <utility>

#include "model/flash_attention.h"
#include "model/layers.h"

namespace ml_worker {
namespace {

constexpr std::int64_t kLongest = 128;
constexpr std::size_t kWarps = DeviceProgram::kThreads / 32;  // each takes one head or row

std::size_t blocks_for(std::int64_t warps) {
  return (static_cast<std::size_t>(warps) + kWarps - 1) / kWarps;
}

/// Of those in kernels.cu the one for texts of at most `longest` tokens.
const char* attention_kernel(std::int64_t longest) {
  if (longest <= 16) return "short_attention_16";
  if (longest <= 32) return "short_attention_32";
  return longest <= 64 ? "short_attention_64" : "short_attention_128";
}

at::Tensor attend_short(DeviceProgram& program, const at::Tensor& qkv, const at::Tensor& bounds,
                        std::int64_t longest) {
  const std::int64_t head_size = qkv.size(3);
  at::Tensor result = at::empty({qkv.size(0), qkv.size(2), head_size}, qkv.options());
  const void* numbers = qkv.const_data_ptr();
  const void* begins = bounds.const_data_ptr();
  void* out = result.mutable_data_ptr();
  int texts = static_cast<int>(bounds.size(0)) - 1;
  int heads = static_cast<int>(qkv.size(2));
  // The kernel's powers are those of two.
  float scale = static_cast<float>(std::log2(std::exp(1.0)) / std::sqrt(head_size));
  std::array<void*, 6> arguments = {&numbers, &begins, &out, &texts, &heads, &scale};
  program.run(attention_kernel(longest), blocks_for(std::int64_t{texts} * heads), arguments);
  return result;
}

at::Tensor norm_of_sum(DeviceProgram& program, const at::Tensor& x, const at::Tensor& y,
                       const LayerNorm& norm) {
  at::Tensor result = at::empty_like(x);
  const void* first = x.const_data_ptr();
  const void* second = y.const_data_ptr();
  const void* weight = norm.weight.const_data_ptr();
  const void* bias = norm.bias.defined() ? norm.bias.const_data_ptr() : nullptr;
  void* out = result.mutable_data_ptr();
  int rows = static_cast<int>(x.size(0));
  auto epsilon = static_cast<float>(norm.epsilon);
  std::array<void*, 7> arguments = {&first, &second, &weight, &bias, &out, &rows, &epsilon};
  program.run("sum_norm", blocks_for(rows), arguments);
  return result;
}

}  // namespace

bool has_fused_kernels(const TransformerConfig& config, Precision precision,
                       int compute_capability) {
  constexpr std::int64_t kLongestRow = 2048;
  const std::int64_t head_size = config.hidden / config.heads;
  return has_flash_attention(head_size, precision, compute_capability) &&
         (head_size == 32 || head_size == 64) && config.hidden % 8 == 0 &&
         config.hidden <= kLongestRow;
}

void use_fused_kernels(std::shared_ptr<DeviceProgram> program, Kernels& kernels) {
  kernels.varlen = [program, any = std::move(kernels.varlen)](
                       const at::Tensor& qkv, const at::Tensor& bounds, std::int64_t longest,
                       std::int64_t window) {
    const bool sees_all = window < 0 || window >= longest;
    return longest <= kLongest && sees_all ? attend_short(*program, qkv, bounds, longest)
                                           : any(qkv, bounds, longest, window);
  };
  kernels.norm_of_sum = [program = std::move(program)](const at::Tensor& x, const at::Tensor& y,
                                                       const LayerNorm& norm) {
    return norm_of_sum(*program, x, y, norm);
  };
}

}  // namespace ml_worker
