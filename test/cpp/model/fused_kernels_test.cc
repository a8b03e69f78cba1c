// The wrappers of our own kernels, with a double that reads the kernels' arguments and computes on
// the CPU; and, where a GPU is (scripts/test-cuda), the kernels themselves.
#include "model/fused_kernels.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <numeric>

#include "model/backend.h"
#include "model/gpus.h"
#include "model/layers.h"

using namespace ml_worker;
using Catch::Matchers::Contains;

namespace {

template <typename T>
T argument(std::span<void*> arguments, std::size_t index) {
  return *static_cast<T*>(arguments[index]);
}

/// What kernels.cu says of its kernels, spelt out.
template <typename Number>
class CpuProgram : public DeviceProgram {
 public:
  explicit CpuProgram(std::int64_t head_size, std::int64_t hidden = 0)
      : head_size_(head_size), hidden_(hidden) {}

  void run(const std::string& kernel, std::size_t blocks, std::span<void*> arguments) override {
    last = kernel;
    if (kernel == "sum_norm") {
      norm(blocks, arguments);
    } else {
      attend(std::stoi(kernel.substr(kernel.rfind('_') + 1)), blocks, arguments);
    }
  }

  std::string last;

 private:
  void attend(int longest, std::size_t blocks, std::span<void*> arguments) const {
    const auto* qkv = argument<const Number*>(arguments, 0);
    const auto* bounds = argument<const int*>(arguments, 1);
    auto* out = argument<Number*>(arguments, 2);
    const int texts = argument<int>(arguments, 3);
    const int heads = argument<int>(arguments, 4);
    const auto scale = argument<float>(arguments, 5);
    REQUIRE(blocks * 4 >= static_cast<std::size_t>(texts * heads));
    for (int text = 0; text < texts; ++text) {
      REQUIRE(bounds[text + 1] - bounds[text] <= longest);
      for (int query = bounds[text]; query < bounds[text + 1]; ++query) {
        for (int head = 0; head < heads; ++head) {
          attend_one(qkv, {bounds[text], bounds[text + 1]}, query, head, heads, scale, out);
        }
      }
    }
  }

  void attend_one(const Number* qkv, std::pair<int, int> tokens, int query, int head, int heads,
                  float scale, Number* out) const {
    const auto at = [&](int token, int part) {
      return qkv + ((std::int64_t{token} * 3 + part) * heads + head) * head_size_;
    };
    std::vector<double> result(static_cast<std::size_t>(head_size_));
    double total = 0;
    for (int key = tokens.first; key < tokens.second; ++key) {
      double score = 0;
      for (std::int64_t i = 0; i < head_size_; ++i) {
        score += double{float{at(query, 0)[i]}} * double{float{at(key, 1)[i]}};
      }
      const double weight = std::exp2(score * double{scale});
      total += weight;
      for (std::int64_t i = 0; i < head_size_; ++i) {
        result[static_cast<std::size_t>(i)] += weight * double{float{at(key, 2)[i]}};
      }
    }
    for (std::int64_t i = 0; i < head_size_; ++i) {
      out[(std::int64_t{query} * heads + head) * head_size_ + i] =
          static_cast<float>(result[static_cast<std::size_t>(i)] / total);
    }
  }

  void norm(std::size_t blocks, std::span<void*> arguments) const {
    const auto* x = argument<const Number*>(arguments, 0);
    const auto* y = argument<const Number*>(arguments, 1);
    const auto* weight = argument<const Number*>(arguments, 2);
    const auto* bias = argument<const Number*>(arguments, 3);
    auto* out = argument<Number*>(arguments, 4);
    const int rows = argument<int>(arguments, 5);
    const auto epsilon = argument<float>(arguments, 6);
    REQUIRE(blocks * 4 >= static_cast<std::size_t>(rows));
    const auto size = static_cast<double>(hidden_);
    for (std::int64_t row = 0; row < rows; ++row, x += hidden_, y += hidden_, out += hidden_) {
      double total = 0;
      double squares = 0;
      for (std::int64_t i = 0; i < hidden_; ++i) total += double{float{x[i]}} + double{float{y[i]}};
      for (std::int64_t i = 0; i < hidden_; ++i) {
        squares += std::pow(double{float{x[i]}} + double{float{y[i]}} - total / size, 2);
      }
      for (std::int64_t i = 0; i < hidden_; ++i) {
        const double centred = double{float{x[i]}} + double{float{y[i]}} - total / size;
        const double normed = centred / std::sqrt(squares / size + double{epsilon});
        out[i] = static_cast<float>(normed * double{float{weight[i]}} +
                                    (bias == nullptr ? 0.0 : double{float{bias[i]}}));
      }
    }
  }

  std::int64_t head_size_;
  std::int64_t hidden_;
};

/// Never: the kernels are to take all there is.
at::Tensor not_ours(const at::Tensor& /*qkv*/, const at::Tensor& /*bounds*/,
                    std::int64_t /*longest*/, std::int64_t /*window*/) {
  throw std::logic_error("FlashAttention was asked");
}

at::Tensor bounds_of(const std::vector<int>& lengths) {
  std::vector<int> bounds{0};
  for (const int length : lengths) bounds.push_back(bounds.back() + length);
  return at::tensor(bounds, at::kInt);
}

/// Text by text in float32, on the CPU.
at::Tensor expected_attention(const at::Tensor& qkv, const std::vector<int>& lengths) {
  at::Tensor result = at::zeros({qkv.size(0), qkv.size(2), qkv.size(3)}, at::kFloat);
  std::int64_t first = 0;
  for (const int length : lengths) {
    if (length == 0) continue;
    const at::Tensor parts =
        qkv.narrow(0, first, length).to(at::kFloat).permute({1, 2, 0, 3}).unsqueeze(1);
    result.narrow(0, first, length)
        .copy_(at::scaled_dot_product_attention(parts.select(0, 0), parts.select(0, 1),
                                                parts.select(0, 2))
                   .squeeze(0)
                   .transpose(0, 1));
    first += length;
  }
  return result;
}

double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kCPU, at::kFloat) - b).abs().max().item<double>();
}

/// Rounding of results of about 1 in 16 bits, and of the weights.
double allowed(at::ScalarType type) { return type == at::kHalf ? 2e-3 : 1.6e-2; }

void check_attention(const std::shared_ptr<DeviceProgram>& program, at::Device device,
                     at::ScalarType type, std::int64_t head_size, std::vector<int> lengths) {
  Kernels kernels(Precision::float16);
  kernels.varlen = not_ours;
  use_fused_kernels(program, kernels);
  INFO("heads of " << head_size << ", " << lengths.size() << " texts");
  const std::int64_t tokens = std::accumulate(lengths.begin(), lengths.end(), 0);
  const int longest = *std::max_element(lengths.begin(), lengths.end());
  const at::Tensor qkv = at::randn({tokens, 3, 5, head_size}, at::kFloat).to(type);
  const at::Tensor result =
      kernels.varlen(qkv.to(device), bounds_of(lengths).to(device), longest, -1);
  CHECK(largest_difference(result, expected_attention(qkv, lengths)) < allowed(type));
}

std::vector<int> lengths_up_to(int longest) {
  std::vector<int> lengths(static_cast<std::size_t>(longest) + 1);
  std::iota(lengths.begin(), lengths.end(), 0);
  return lengths;
}

void check_norm(const std::shared_ptr<DeviceProgram>& program, at::Device device,
                at::ScalarType type, std::int64_t hidden, bool bias) {
  Kernels kernels(Precision::float16);
  use_fused_kernels(program, kernels);
  INFO(hidden << " numbers" << (bias ? " with bias" : ""));
  const auto random = [&](std::int64_t rows) {
    return at::randn({rows, hidden}, at::kFloat).to(type);
  };
  const at::Tensor x = random(7) + 3;
  const at::Tensor y = random(7);
  const at::Tensor weight = random(1).flatten();
  const at::Tensor added = random(1).flatten();
  LayerNorm norm{weight.to(device), bias ? added.to(device) : at::Tensor(), 1e-5};
  const at::Tensor result = kernels.norm_of_sum(x.to(device), y.to(device), norm);
  const auto floats = [](const at::Tensor& of) { return of.to(at::kFloat); };
  const at::Tensor expected =
      at::layer_norm(floats(x) + floats(y), {hidden}, floats(weight),
                     bias ? std::optional<at::Tensor>(floats(added)) : std::nullopt, norm.epsilon);
  CHECK(largest_difference(result, expected) < 4 * allowed(type));
}

}  // namespace

TEST_CASE("which models and GPUs there are kernels of our own for") {
  TransformerConfig config;
  config.hidden = 384;
  config.heads = 12;
  CHECK(has_fused_kernels(config, Precision::float16, 90));
  CHECK(has_fused_kernels(config, Precision::bfloat16, 80));
  CHECK_FALSE(has_fused_kernels(config, Precision::float32, 90));
  CHECK_FALSE(has_fused_kernels(config, Precision::float16, 75));
  config.heads = 24;
  CHECK_FALSE(has_fused_kernels(config, Precision::float16, 90));
  config.hidden = 4096;
  config.heads = 64;
  CHECK_FALSE(has_fused_kernels(config, Precision::float16, 90));
}

TEST_CASE("short texts attend by the kernel for their length, on either type") {
  const auto half = std::make_shared<CpuProgram<c10::Half>>(32);
  for (const auto& [longest, kernel] : {std::pair(16, "short_attention_16"),
                                        {17, "short_attention_32"},
                                        {64, "short_attention_64"},
                                        {128, "short_attention_128"}}) {
    check_attention(half, at::kCPU, at::kHalf, 32, {longest, 3, 0, 1});
    CHECK(half->last == kernel);
  }
  check_attention(std::make_shared<CpuProgram<c10::BFloat16>>(64), at::kCPU, at::kBFloat16, 64,
                  {50, 50, 2});
}

TEST_CASE("long texts and windows attend as before") {
  Kernels kernels(Precision::float16);
  kernels.varlen = not_ours;
  use_fused_kernels(std::make_shared<CpuProgram<c10::Half>>(32), kernels);
  const at::Tensor qkv = at::zeros({200, 3, 2, 32}, at::kHalf);
  REQUIRE_THROWS_WITH(kernels.varlen(qkv, bounds_of({129, 71}), 129, -1), Contains("asked"));
  REQUIRE_THROWS_WITH(kernels.varlen(qkv, bounds_of({100, 100}), 100, 64), Contains("asked"));
  CHECK_NOTHROW(kernels.varlen(qkv, bounds_of({100, 100}), 100, 100));
}

TEST_CASE("sum and LayerNorm in one go, with a bias and without") {
  const auto half = std::make_shared<CpuProgram<c10::Half>>(32, 384);
  check_norm(half, at::kCPU, at::kHalf, 384, true);
  check_norm(half, at::kCPU, at::kHalf, 384, false);
}

TEST_CASE("the kernels themselves: texts of all lengths, rows of many", "[.cuda]") {
  const Gpus gpus =
      choose_gpus(parse_device("cuda:0"),
                  {[] { return probe_driver(); },
                   []() -> DeviceDriver& { return open_device_driver(device_driver_paths()); }});
  const int capability = gpus.driver->about(0).compute_capability;
  const at::Device device("cuda:0");
  for (const at::ScalarType type : {at::kHalf, at::kBFloat16}) {
    for (const std::int64_t head_size : {32, 64}) {
      for (const std::int64_t hidden : {64, 384, 768, 1000, 2048}) {
        const auto program =
            gpus.driver->compile({capability, type == at::kBFloat16, head_size, hidden});
        check_norm(program, device, type, hidden, true);
        check_norm(program, device, type, hidden, false);
        if (hidden != 64) continue;
        for (const int longest : {1, 2, 8, 9, 16, 17, 32, 33, 63, 64, 65, 127, 128}) {
          check_attention(program, device, type, head_size, lengths_up_to(longest));
          check_attention(program, device, type, head_size, {longest});
        }
      }
    }
  }
}
