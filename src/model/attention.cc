#include "model/attention.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <optional>

#include "model/short_attention.h"

namespace ml_worker {
namespace {

constexpr std::int64_t kBuckets = 32;
constexpr std::int64_t kMaxDistance = 128;

/// Half of the buckets for keys behind the query, half for those before; of each half, one bucket
/// per distance at first, then wider ones. In float32, as transformers computes it.
std::int64_t bucket_of(std::int64_t key_minus_query) {
  constexpr std::int64_t kHalf = kBuckets / 2;
  constexpr std::int64_t kExact = kHalf / 2;
  const std::int64_t side = key_minus_query > 0 ? kHalf : 0;
  const std::int64_t distance = std::abs(key_minus_query);
  if (distance < kExact) return side + distance;
  const float wide = std::log(static_cast<float>(distance) / static_cast<float>(kExact)) /
                     static_cast<float>(std::log(static_cast<double>(kMaxDistance) / kExact)) *
                     static_cast<float>(kHalf - kExact);
  return side + std::min(kExact + static_cast<std::int64_t>(wide), kHalf - 1);
}

/// Each of `q`, `k`, `v`: [texts, heads, length, head size].
at::Tensor dot_products(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                        const std::optional<at::Tensor>& added, bool only_cpu) {
  if (!only_cpu) return at::scaled_dot_product_attention(q, k, v, added);
  return std::get<0>(at::_scaled_dot_product_flash_attention_for_cpu(q, k, v, 0.0, false, added));
}

/// Without a mask; in float32 whatever the type.
void attend_short_group(const at::Tensor& qkv, std::int64_t heads, const EqualLengths& group,
                        const at::Tensor& context) {
  const auto first = static_cast<std::int64_t>(group.first_token);
  const auto tokens = static_cast<std::int64_t>(group.texts * group.length);
  const at::Tensor rows = qkv.narrow(0, first, tokens).to(at::kFloat);
  const at::Tensor to = context.narrow(0, first, tokens);
  const at::Tensor result = to.scalar_type() == at::kFloat ? to : at::empty(to.sizes(), at::kFloat);
  attend_short(rows.const_data_ptr<float>(), group.texts, group.length,
               static_cast<std::size_t>(heads), static_cast<std::size_t>(to.size(1) / heads),
               result.mutable_data_ptr<float>());
  if (!result.is_same(to)) to.copy_(result);
}

/// Of texts of any length; with a mask where `added` is defined.
void attend_group(const at::Tensor& qkv, std::int64_t heads, const EqualLengths& group,
                  const at::Tensor& added, bool only_cpu, const at::Tensor& context) {
  const auto first = static_cast<std::int64_t>(group.first_token);
  const auto texts = static_cast<std::int64_t>(group.texts);
  const auto length = static_cast<std::int64_t>(group.length);
  const std::int64_t size = context.size(1) / heads;
  const at::Tensor parts = qkv.narrow(0, first, texts * length)
                               .view({texts, length, 3, heads, size})
                               .permute({2, 0, 3, 1, 4});
  const at::Tensor result =
      dot_products(parts.select(0, 0), parts.select(0, 1), parts.select(0, 2),
                   added.defined() ? std::optional<at::Tensor>(added) : std::nullopt, only_cpu);
  context.narrow(0, first, texts * length)
      .view({texts, length, heads, size})
      .copy_(result.transpose(1, 2));
}

}  // namespace

at::TensorOptions mask_options(const Kernels& kernels) {
  return at::TensorOptions(kernels.device)
      .dtype(kernels.only_cpu ? at::kFloat : scalar_type(kernels.precision));
}

at::Tensor attend(const at::Tensor& qkv, std::int64_t heads, const Packing& packing,
                  const AttentionMask& mask, const Kernels& kernels) {
  const std::int64_t hidden = qkv.size(1) / 3;
  at::Tensor context = at::empty({qkv.size(0), hidden}, qkv.options());
  const auto tokens = static_cast<std::int64_t>(packing.tokens);
  if (qkv.size(0) > tokens) context.narrow(0, tokens, qkv.size(0) - tokens).zero_();
  for (const EqualLengths& group : packing.groups) {
    const at::Tensor added = mask ? mask(static_cast<std::int64_t>(group.length)) : at::Tensor();
    if (kernels.only_cpu && !added.defined() &&
        is_for_short_attention(group.length, hidden / heads)) {
      attend_short_group(qkv, heads, group, context);
    } else {
      attend_group(qkv, heads, group, added, kernels.only_cpu, context);
    }
  }
  return context;
}

RelativeBias::RelativeBias(const at::Tensor& table, std::int64_t longest, const Kernels& kernels) {
  at::Tensor buckets = at::empty({longest, longest}, at::kInt);
  auto* next = buckets.mutable_data_ptr<std::int32_t>();
  for (std::int64_t query = 0; query < longest; ++query) {
    for (std::int64_t key = 0; key < longest; ++key) {
      *next++ = static_cast<std::int32_t>(bucket_of(key - query));
    }
  }
  bias_ = at::index_select(table, 0, buckets.flatten())
              .view({longest, longest, table.size(1)})
              .permute({2, 0, 1})
              .contiguous()
              .unsqueeze(0)
              .to(mask_options(kernels));
}

at::Tensor RelativeBias::mask(std::int64_t length) const {
  return bias_.narrow(2, 0, length).narrow(3, 0, length);
}

at::Tensor LocalMask::mask(std::int64_t length) {
  if (length <= window_ + 1) return {};
  at::Tensor& made = made_[length];
  if (made.defined()) return made;
  const at::Tensor mask = at::zeros({1, 1, length, length}, at::kFloat);
  auto* row = mask.mutable_data_ptr<float>();
  for (std::int64_t query = 0; query < length; ++query, row += length) {
    for (std::int64_t key = 0; key < length; ++key) {
      if (std::abs(key - query) > window_) row[key] = -std::numeric_limits<float>::infinity();
    }
  }
  made = mask.to(options_);
  return made;
}

Rotary::Rotary(double base, std::int64_t head_size, std::int64_t longest, at::Device device) {
  const at::Tensor exponents =
      at::arange(0, head_size, 2, at::kFloat) / static_cast<double>(head_size);
  const at::Tensor frequencies = at::pow(at::Scalar(base), exponents).reciprocal();
  const at::Tensor angles = at::arange(longest, at::kFloat).unsqueeze(1) * frequencies;
  cosines_ = angles.cos().to(device);
  sines_ = angles.sin().to(device);
}

void Rotary::apply(const at::Tensor& qkv, std::int64_t heads, const at::Tensor& places) const {
  const std::int64_t tokens = qkv.size(0);
  const std::int64_t half = cosines_.size(1);
  const at::Tensor cosine = at::index_select(cosines_, 0, places).view({tokens, 1, 1, half});
  const at::Tensor sine = at::index_select(sines_, 0, places).view({tokens, 1, 1, half});
  const at::Tensor turned = qkv.view({tokens, 3, heads, 2 * half}).narrow(1, 0, 2);
  const at::Tensor first = turned.narrow(3, 0, half);
  const at::Tensor second = turned.narrow(3, half, half);
  turned.copy_(at::cat({first * cosine - second * sine, second * cosine + first * sine}, 3));
}

}  // namespace ml_worker
