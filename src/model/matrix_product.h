// x·Wᵀ + b in float32 on the CPU, and what comes right after it. Each number of the result is one
// sum in the order of the columns: the same bytes in every batch. For a few rows it is as fast as
// the weights can be read.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "model/panel_product.h"

namespace ml_worker {

/// W and b as the kernel reads them.
class PackedWeights {
 public:
  /// `weight`: [out, in], row-major; `bias`: [out], or empty for zeros.
  PackedWeights(std::span<const float> weight, std::span<const float> bias, std::size_t out);

  std::size_t out() const { return out_; }
  std::size_t in() const { return in_; }
  std::size_t bytes() const { return (weight_.size() + bias_.size()) * sizeof(float); }

 private:
  friend struct MatrixProduct;

  std::size_t out_;
  std::size_t in_;
  std::vector<float> weight_;  ///< [panels, in, kPanel]
  std::vector<float> bias_;    ///< [panels, kPanel]
};

struct MatrixProduct {
  const PackedWeights& weights;
  const float* x;  ///< [rows, in], row-major
  float* y;        ///< [rows, out], row-major
  Epilogue epilogue = Epilogue::none;
  const float* other = nullptr;  ///< [rows, out]: what `add` adds and `multiply` multiplies by

  /// These rows and panels of y; other calls may compute others at the same time.
  void compute(Range rows, Range panels, VectorWidth width = vector_width()) const;
};

}  // namespace ml_worker
