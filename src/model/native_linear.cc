#include "model/native_linear.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <cstdint>
#include <span>
#include <vector>

#include "model/activate.h"
#include "model/parallel_product.h"

namespace ml_worker {
namespace {

/// Of a contiguous float32 tensor; none where it is undefined.
std::span<const float> numbers_of(const at::Tensor& tensor) {
  if (!tensor.defined()) return {};
  return {tensor.const_data_ptr<float>(), static_cast<std::size_t>(tensor.numel())};
}

/// Rows of x for the 8-bit kernels.
struct QuantizedRows {
  QuantizedRows(std::span<const float> x, std::size_t rows, std::size_t steps)
      : words(at::empty({static_cast<std::int64_t>(rows * steps)}, at::kInt)), scales(rows) {
    constexpr std::int64_t kAtOnce = 64;
    const std::span to(words.mutable_data_ptr<std::int32_t>(), rows * steps);
    const std::size_t in = x.size() / rows;
    const auto last = static_cast<std::int64_t>(rows);
    at::parallel_for(0, last, kAtOnce, [&](std::int64_t begin, std::int64_t end) {
      for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
        scales[i] = quantize_row(x.subspan(i * in, in), to.subspan(i * steps, steps));
      }
    });
  }

  at::Tensor words;  ///< [rows, steps]
  std::vector<float> scales;
};

/// A product's other side, where it goes and what comes after it.
struct Task {
  std::span<const float> x;
  std::size_t rows;
  float* y;
  Epilogue epilogue;
  const float* other;
};

void multiply(const PackedWeights& weights, const Task& task) {
  const MatrixProduct product{weights, task.x.data(), task.y, task.epilogue, task.other};
  compute_in_parallel(task.rows, weights.out(), weights.in(),
                      [&](Range rows, Range panels) { product.compute(rows, panels); });
}

void multiply(const PackedInt8Weights& weights, const Task& task) {
  const QuantizedRows x(task.x, task.rows, weights.steps());
  const Int8Product product{weights,         x.words.const_data_ptr<std::int32_t>(),
                            x.scales.data(), task.y,
                            task.epilogue,   task.other};
  compute_in_parallel(task.rows, weights.out(), weights.in(),
                      [&](Range rows, Range panels) { product.compute(rows, panels); });
}

std::variant<PackedWeights, PackedInt8Weights> packed(const at::Tensor& weight,
                                                      const at::Tensor& bias, Precision precision) {
  const at::Tensor rows = weight.contiguous();
  const auto out = static_cast<std::size_t>(weight.size(0));
  if (precision == Precision::int8) {
    return PackedInt8Weights(numbers_of(rows), numbers_of(bias), out);
  }
  return PackedWeights(numbers_of(rows), numbers_of(bias), out);
}

}  // namespace

NativeLinear::NativeLinear(const at::Tensor& weight, const at::Tensor& bias, Precision precision)
    : weights_(packed(weight, bias.defined() ? bias.contiguous() : bias, precision)) {}

at::Tensor NativeLinear::apply(const at::Tensor& x, Activation activation) const {
  if (activation == Activation::gelu) return compute(x, Epilogue::gelu, {});
  at::Tensor y = compute(x, Epilogue::none, {});
  activate_rows(y, activation);
  return y;
}

at::Tensor NativeLinear::apply_add(const at::Tensor& x, const at::Tensor& other) const {
  return compute(x, Epilogue::add, other);
}

at::Tensor NativeLinear::apply_multiply(const at::Tensor& x, const at::Tensor& other) const {
  return compute(x, Epilogue::multiply, other);
}

at::Tensor NativeLinear::compute(const at::Tensor& x, Epilogue epilogue,
                                 const at::Tensor& other) const {
  const at::Tensor from = x.contiguous();
  const at::Tensor operand = other.defined() ? other.contiguous() : other;
  const auto rows = static_cast<std::size_t>(x.size(0));
  return std::visit(
      [&](const auto& weights) {
        at::Tensor y = at::empty({x.size(0), static_cast<std::int64_t>(weights.out())}, at::kFloat);
        multiply(weights, Task{numbers_of(from), rows, y.mutable_data_ptr<float>(), epilogue,
                               numbers_of(operand).data()});
        return y;
      },
      weights_);
}

std::size_t NativeLinear::bytes() const {
  return std::visit([](const auto& weights) { return weights.bytes(); }, weights_);
}

}  // namespace ml_worker
