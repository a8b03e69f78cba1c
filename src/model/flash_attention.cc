#include "model/flash_attention.h"

#include <ATen/ops/_flash_attention_forward.h>

#include <optional>

namespace ml_worker {

bool has_flash_attention(std::int64_t head_size, Precision precision, int compute_capability) {
  constexpr int kAmpere = 80;
  constexpr std::int64_t kLargestHead = 256;
  const bool sixteen_bits = precision == Precision::float16 || precision == Precision::bfloat16;
  return sixteen_bits && compute_capability >= kAmpere && head_size % 8 == 0 &&
         head_size <= kLargestHead;
}

at::Tensor flash_attention(const at::Tensor& qkv, const at::Tensor& bounds, std::int64_t longest,
                           std::int64_t window) {
  const std::optional<std::int64_t> side = window < 0 ? std::nullopt : std::optional(window);
  return std::get<0>(at::_flash_attention_forward(qkv.select(1, 0), qkv.select(1, 1),
                                                  qkv.select(1, 2), bounds, bounds, longest,
                                                  longest, 0.0, false, false, {}, side, side));
}

}  // namespace ml_worker
