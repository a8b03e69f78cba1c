// How a product x·Wᵀ is computed, whatever its numbers are: in tiles whose sums stay in registers.
// Each sum goes over the columns in order, whatever the other rows are and however many.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <memory>

#include "model/vector_registers.h"

namespace ml_worker {

/// W's rows lie in panels of this many, step by step; zeros fill the last panel.
constexpr std::size_t kPanel = 16;

/// Steps after which a tile asks for weights of the next panels.
constexpr std::size_t kStretch = 32;

struct Range {
  std::size_t begin;
  std::size_t end;
};

constexpr std::size_t divided_up(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

inline std::size_t panels_of(std::size_t out) { return divided_up(out, kPanel); }

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

/// Rows whose x stays in a core's second-level cache while the panels pass: whole tiles of 3, 6
/// or 8.
constexpr std::size_t rows_of_block(std::size_t steps) {
  constexpr std::size_t kWords = std::size_t{72} * 1024;
  constexpr std::size_t kLeast = 24;
  return std::clamp(kWords / steps / kLeast * kLeast, kLeast, 4 * kLeast);
}

/// Rows of the next tile, of `rows` that are left. Tiles have about equal numbers of them: the last
/// one would else wait for its few sums.
constexpr std::size_t rows_of_tile(std::size_t rows, std::size_t most) {
  return divided_up(rows, divided_up(rows, most));
}

/// x of a tile, of `rows` rows, which are at most kRows, as [steps, rows].
template <std::size_t kRows, typename Word>
ML_WORKER_INLINE void interleave_tile(const Word* x, std::size_t steps, std::size_t rows,
                                      Word* to) {
  if constexpr (kRows > 0) {
    if (rows < kRows) return interleave_tile<kRows - 1>(x, steps, rows, to);
    for (std::size_t step = 0; step < steps; ++step) {
#pragma GCC unroll 16
      for (std::size_t i = 0; i < kRows; ++i) to[step * kRows + i] = x[i * steps + step];
    }
  }
}

/// x of a block's tiles, one after the other: each is then read from one address on, in as few
/// instructions as can be, where another thread may share the core.
template <std::size_t kRows, typename Word>
ML_WORKER_INLINE void interleave(const ProductInput<Word>& input, Range block, Word* to) {
  for (std::size_t row = block.begin; row < block.end;) {
    const std::size_t rows = rows_of_tile(block.end - row, kRows);
    interleave_tile<kRows>(input.x + row * input.steps, input.steps, rows, to);
    to += rows * input.steps;
    row += rows;
  }
}

/// Weights that will be read soon, from lower caches or memory into the second level. Caches that
/// load ahead themselves wait at the end of a page: a lone text took half as long again.
template <typename Word>
ML_WORKER_INLINE void ask_for(const Word* weights, std::size_t steps) {
  for (std::size_t i = 0; i < steps; ++i) __builtin_prefetch(weights + i * kPanel, 0, 2);
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

  /// Of a block's rows. `x`: as interleave() makes it. While its tiles read these panels, they ask
  /// for the next ones, each for its share; past the last one that does no harm.
  ML_WORKER_INLINE static void compute(const Kernel& kernel, const ProductInput<Word>& input,
                                       const Word* x, const ProductOutput& output, Range block,
                                       std::size_t panel) {
    alignas(64) std::array<Word, Kernel::kRows * kColumns> sums;
    const std::size_t steps = input.steps;
    const Word* weights = input.weights + panel * steps * kPanel;
    const std::size_t stretches = divided_up(steps, kStretch);
    const std::size_t tiles = divided_up(block.end - block.begin, Kernel::kRows);
    const std::size_t share = divided_up(kPanels * steps, tiles * stretches);
    const Word* next = weights + kPanels * steps * kPanel;
    for (std::size_t row = block.begin; row < block.end;) {
      const std::size_t rows = rows_of_tile(block.end - row, Kernel::kRows);
      multiply<Kernel::kRows>(rows, {x, weights, steps}, {next, share}, sums.data());
      finish_rows(kernel, output, {row, row + rows}, panel, sums.data());
      x += rows * steps;
      next += share * stretches * kPanel;
      row += rows;
    }
  }

 private:
  static constexpr std::size_t kLanes = kLanesOf<Vector>;
  static constexpr std::size_t kColumns = kPanels * kPanel;
  static constexpr std::size_t kVectors = kColumns / kLanes;

  /// Weights to ask for: so many steps' in each stretch.
  struct Ahead {
    const Word* weights;
    std::size_t share;
  };

  /// multiply_rows() of `rows` rows, which are at most kRows.
  template <std::size_t kRows>
  ML_WORKER_INLINE static void multiply(std::size_t rows, const ProductInput<Word>& tile,
                                        Ahead ahead, Word* sums) {
    if constexpr (kRows > 0) {
      if (rows == kRows) return multiply_rows<kRows>(tile, ahead, sums);
      multiply<kRows - 1>(rows, tile, ahead, sums);
    }
  }

  /// `tile`: x as [steps, kRows], and the weights of its panels. `sums`: [kRows, kColumns].
  template <std::size_t kRows>
  ML_WORKER_INLINE static void multiply_rows(const ProductInput<Word>& tile, Ahead ahead,
                                             Word* sums) {
    constexpr std::size_t kPerPanel = kPanel / kLanes;
    const std::size_t steps = tile.steps;
    // Plain arrays: what is unrolled stays in registers.
    Vector sum[kRows][kVectors] = {};  // NOLINT(modernize-avoid-c-arrays)
    Vector weights[kVectors];          // NOLINT(modernize-avoid-c-arrays)
    for (std::size_t begin = 0; begin < steps; begin += kStretch) {
      ask_for(ahead.weights, ahead.share);
      ahead.weights += ahead.share * kPanel;
      const std::size_t end = std::min(steps, begin + kStretch);
#pragma GCC unroll 4
      for (std::size_t step = begin; step < end; ++step) {
#pragma GCC unroll 4
        for (std::size_t v = 0; v < kVectors; ++v) {
          load(tile.weights + (v / kPerPanel * steps + step) * kPanel + v % kPerPanel * kLanes,
               weights[v]);
        }
#pragma GCC unroll 16
        for (std::size_t i = 0; i < kRows; ++i) {
          const Word factor = tile.x[step * kRows + i];
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
  using Word = typename Kernel::Word;
  constexpr std::size_t kPanels = Kernel::kPanels;
  const std::size_t steps = input.steps;
  const std::size_t most = std::min(rows.end - rows.begin, rows_of_block(steps));
  const auto x = std::make_unique_for_overwrite<Word[]>(most * steps);
  for (std::size_t first = rows.begin; first < rows.end; first += most) {
    const Range block{first, std::min(rows.end, first + most)};
    ask_for(input.weights + panels.begin * steps * kPanel, kPanels * steps);
    interleave<Kernel::kRows>(input, block, x.get());
    std::size_t panel = panels.begin;
    for (; panel + kPanels <= panels.end; panel += kPanels) {
      PanelProduct<Kernel, kPanels>::compute(kernel, input, x.get(), output, block, panel);
    }
    for (; panel < panels.end; ++panel) {
      PanelProduct<Kernel, 1>::compute(kernel, input, x.get(), output, block, panel);
    }
  }
}

}  // namespace ml_worker
