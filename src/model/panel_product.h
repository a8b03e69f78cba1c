// How a product x·Wᵀ is computed, whatever its numbers are: in tiles whose sums stay in registers.
// Each sum goes over the columns in order, whatever the other rows are and however many.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

#include "model/vector_registers.h"

namespace ml_worker {

/// W's rows lie in panels of this many, step by step; zeros fill the last panel.
constexpr std::size_t kPanel = 16;

/// Rows whose x stays in a core's second-level cache while the panels pass.
constexpr std::size_t kBlock = 48;

/// Steps whose weights are asked for ahead of their use when a panel is first read. Caches that
/// load ahead themselves wait at the end of a page: a lone text took half as long again.
constexpr std::size_t kAhead = 32;

struct Range {
  std::size_t begin;
  std::size_t end;
};

inline std::size_t panels_of(std::size_t out) { return (out + kPanel - 1) / kPanel; }

/// What becomes of x·Wᵀ + b.
enum class Epilogue { none, gelu, add, multiply };

/// Where the result goes.
struct ProductOutput {
  float* y;  ///< [rows, out], row-major
  std::size_t out;
  const float* bias;  ///< of all panels
  Epilogue epilogue = Epilogue::none;
  const float* other = nullptr;  ///< [rows, out]: what `add` adds and `multiply` multiplies by
};

/// What is multiplied: words of which a step of each sum takes one of x and one of W.
template <typename Word>
struct ProductInput {
  const Word* x;        ///< [rows, steps], row-major
  const Word* weights;  ///< [panels, steps, kPanel]
  std::size_t steps;
};

/// Of one register of sums as numbers: adds the bias and does what comes after.
template <typename Floats>
ML_WORKER_INLINE void finish(Epilogue epilogue, const float* bias, const float* other,
                             Floats& sums) {
  Floats operand;
  load(bias, operand);
  sums += operand;
  switch (epilogue) {
    case Epilogue::none:
      return;
    case Epilogue::gelu:
      gelu(sums);
      return;
    case Epilogue::add:
      load(other, operand);
      sums += operand;
      return;
    case Epilogue::multiply:
      load(other, operand);
      sums *= operand;
      return;
  }
}

/// finish() of `count` columns from `column` on, fewer than a register has, into y.
template <typename Floats>
ML_WORKER_INLINE void finish_some(const ProductOutput& output, std::size_t row, std::size_t column,
                                  std::size_t count, Floats& sums) {
  const std::size_t at = row * output.out + column;
  std::array<float, kLanesOf<Floats>> some{};
  if (output.other != nullptr) std::memcpy(some.data(), output.other + at, count * sizeof(float));
  finish(output.epilogue, output.bias + column, some.data(), sums);
  store(sums, some.data());
  std::memcpy(output.y + at, some.data(), count * sizeof(float));
}

/// `Kernel` has
///   Word, Vector (a register of sums, of weights), Floats (as many floats)
///   kRows, kPanels: of a tile
///   multiply_add(Vector& sums, Word factor, const Vector& weights): a step
///   to_floats(const Vector& sums, std::size_t row, std::size_t column, Floats& numbers)
template <typename Kernel, std::size_t kPanels>
class PanelProduct {
 public:
  using Word = typename Kernel::Word;
  using Vector = typename Kernel::Vector;
  using Floats = typename Kernel::Floats;

  /// Of a block's rows, in tiles of about equal numbers of them: the last one would else wait for
  /// its few sums.
  ML_WORKER_INLINE static void compute(const Kernel& kernel, const ProductInput<Word>& input,
                                       const ProductOutput& output, Range block,
                                       std::size_t panel) {
    alignas(64) std::array<Word, Kernel::kRows * kColumns> sums;
    std::size_t row = block.begin;
    for (std::size_t tiles = (block.end - row + Kernel::kRows - 1) / Kernel::kRows; tiles > 0;
         --tiles) {
      const std::size_t rows = (block.end - row + tiles - 1) / tiles;
      multiply<Kernel::kRows>(rows, input, row, panel, row == block.begin, sums.data());
      finish_rows(kernel, output, {row, row + rows}, panel, sums.data());
      row += rows;
    }
  }

 private:
  static constexpr std::size_t kLanes = kLanesOf<Vector>;
  static constexpr std::size_t kColumns = kPanels * kPanel;
  static constexpr std::size_t kVectors = kColumns / kLanes;

  /// multiply_rows() of `rows` rows, which are at most kRows.
  template <std::size_t kRows>
  ML_WORKER_INLINE static void multiply(std::size_t rows, const ProductInput<Word>& input,
                                        std::size_t row, std::size_t panel, bool first,
                                        Word* sums) {
    if constexpr (kRows > 0) {
      if (rows == kRows) return multiply_rows<kRows>(input, row, panel, first, sums);
      multiply<kRows - 1>(rows, input, row, panel, first, sums);
    }
  }

  /// `first`: the panel is read for the first time. `sums`: [kRows, kColumns].
  template <std::size_t kRows>
  ML_WORKER_INLINE static void multiply_rows(const ProductInput<Word>& input, std::size_t row,
                                             std::size_t panel, bool first, Word* sums) {
    constexpr std::size_t kPerPanel = kPanel / kLanes;
    const std::size_t steps = input.steps;
    const Word* x = input.x + row * steps;
    const Word* from = input.weights + panel * steps * kPanel;
    // Plain arrays: what is unrolled stays in registers.
    Vector sum[kRows][kVectors] = {};  // NOLINT(modernize-avoid-c-arrays)
    Vector weights[kVectors];          // NOLINT(modernize-avoid-c-arrays)
    const std::size_t stretch = first ? kAhead : steps;
    for (std::size_t begin = 0; begin < steps; begin += stretch) {
      const std::size_t end = std::min(steps, begin + stretch);
      if (first) ask_for(from, steps, {begin + kAhead, end + kAhead});
      for (std::size_t step = begin; step < end; ++step) {
#pragma GCC unroll 4
        for (std::size_t v = 0; v < kVectors; ++v) {
          load(from + (v / kPerPanel * steps + step) * kPanel + v % kPerPanel * kLanes, weights[v]);
        }
#pragma GCC unroll 16
        for (std::size_t i = 0; i < kRows; ++i) {
          const Word factor = x[i * steps + step];
#pragma GCC unroll 4
          for (std::size_t v = 0; v < kVectors; ++v) {
            Kernel::multiply_add(sum[i][v], factor, weights[v]);
          }
        }
      }
    }
#pragma GCC unroll 16
    for (std::size_t i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
      for (std::size_t v = 0; v < kVectors; ++v) store(sum[i][v], sums + i * kColumns + v * kLanes);
    }
  }

  ML_WORKER_INLINE static void ask_for(const Word* weights, std::size_t steps, Range range) {
    for (std::size_t p = 0; p < kPanels; ++p) {
      for (std::size_t step = range.begin; step < range.end; ++step) {
        __builtin_prefetch(weights + (p * steps + step) * kPanel);
      }
    }
  }

  /// `sums`: [rows, kColumns], columns from that of `panel` on; into y.
  ML_WORKER_INLINE static void finish_rows(const Kernel& kernel, const ProductOutput& output,
                                           Range rows, std::size_t panel, const Word* sums) {
    const std::size_t first = panel * kPanel;
    const std::size_t last = std::min(output.out, first + kColumns);
    for (std::size_t row = rows.begin; row < rows.end; ++row, sums += kColumns) {
      for (std::size_t column = first; column < last; column += kLanes) {
        Vector sum;
        Floats numbers;
        load(sums + (column - first), sum);
        kernel.to_floats(sum, row, column, numbers);
        if (last - column < kLanes) {
          finish_some(output, row, column, last - column, numbers);
          continue;
        }
        const std::size_t at = row * output.out + column;
        finish(output.epilogue, output.bias + column,
               output.other == nullptr ? nullptr : output.other + at, numbers);
        store(numbers, output.y + at);
      }
    }
  }
};

/// These rows and panels of y.
template <typename Kernel>
ML_WORKER_INLINE void compute_product(const Kernel& kernel,
                                      const ProductInput<typename Kernel::Word>& input,
                                      const ProductOutput& output, Range rows, Range panels) {
  constexpr std::size_t kPanels = Kernel::kPanels;
  for (std::size_t row = rows.begin; row < rows.end; row += kBlock) {
    const Range block{row, std::min(rows.end, row + kBlock)};
    std::size_t panel = panels.begin;
    for (; panel + kPanels <= panels.end; panel += kPanels) {
      PanelProduct<Kernel, kPanels>::compute(kernel, input, output, block, panel);
    }
    for (; panel < panels.end; ++panel) {
      PanelProduct<Kernel, 1>::compute(kernel, input, output, block, panel);
    }
  }
}

}  // namespace ml_worker
