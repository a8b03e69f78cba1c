#include "model/matrix_product.h"

#include <algorithm>

namespace ml_worker {
namespace {

template <typename Register, std::size_t kRowsOfTile, std::size_t kPanelsOfTile>
struct FloatKernel {
  using Word = float;
  using Vector = Register;
  using Floats = Register;
  static constexpr std::size_t kRows = kRowsOfTile;
  static constexpr std::size_t kPanels = kPanelsOfTile;

  ML_WORKER_INLINE static void multiply_add(Vector& sums, float factor, const Vector& weights) {
    sums += factor * weights;
  }

  ML_WORKER_INLINE void to_floats(const Vector& sums, std::size_t /*row*/, std::size_t /*column*/,
                                  Floats& numbers) const {
    numbers = sums;
  }
};

// 12 sums beside weights and a factor in 16 registers; 16 in 32, for with 24 g++ keeps some in
// memory.

void compute_16_bytes(const ProductInput<float>& input, const ProductOutput& output, Range rows,
                      Range panels) {
  compute_product(FloatKernel<Floats4, 3, 1>(), input, output, rows, panels);
}

ML_WORKER_32_BYTES void compute_32_bytes(const ProductInput<float>& input,
                                         const ProductOutput& output, Range rows, Range panels) {
  compute_product(FloatKernel<Floats8, 6, 1>(), input, output, rows, panels);
}

ML_WORKER_64_BYTES void compute_64_bytes(const ProductInput<float>& input,
                                         const ProductOutput& output, Range rows, Range panels) {
  compute_product(FloatKernel<Floats16, 8, 2>(), input, output, rows, panels);
}

constexpr ForEachWidth<void(const ProductInput<float>&, const ProductOutput&, Range, Range)>
    kKernels{compute_16_bytes, compute_32_bytes, compute_64_bytes};

}  // namespace

PackedWeights::PackedWeights(std::span<const float> weight, std::span<const float> bias,
                             std::size_t out)
    : out_(out),
      in_(weight.size() / out),
      weight_(panels_of(out) * kPanel * in_),
      bias_(panels_of(out) * kPanel) {
  std::copy(bias.begin(), bias.end(), bias_.begin());
  for (std::size_t i = 0; i < out; ++i) {
    float* to = weight_.data() + i / kPanel * in_ * kPanel + i % kPanel;
    for (std::size_t j = 0; j < in_; ++j) to[j * kPanel] = weight[i * in_ + j];
  }
}

void MatrixProduct::compute(Range rows, Range panels, VectorWidth width) const {
  kKernels[width]({x, weights.weight_.data(), weights.in_},
                  {y, weights.out_, weights.bias_.data(), epilogue, other}, rows, panels);
}

}  // namespace ml_worker
