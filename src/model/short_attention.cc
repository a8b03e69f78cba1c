#include "model/short_attention.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numbers>
#include <vector>

#include "ml_worker/vector_width.h"

/// Else it would not be compiled for the vector registers of its caller.
#define ML_WORKER_INLINE [[gnu::always_inline]] inline

namespace ml_worker {
namespace {

/// Beyond, libtorch's is faster.
constexpr std::size_t kLongest = 128;
constexpr std::size_t kLanes = 16;
constexpr std::size_t kQueries = 4;  ///< at a time, so that keys and values are loaded for all

using Floats = float __attribute__((vector_size(kLanes * sizeof(float))));
template <typename Value>
using Queries = std::array<Value, kQueries>;
using Bits = std::uint32_t __attribute__((vector_size(kLanes * sizeof(float))));

std::size_t whole_lanes(std::size_t size) { return (size + kLanes - 1) / kLanes * kLanes; }

/// One head of one text: [length, size] each but `key`; rows are `hidden` elements apart in the
/// context and three times as many in the others.
struct Head {
  std::size_t length;
  std::size_t size;
  std::size_t padded;  ///< length, up to whole vector registers
  std::size_t hidden;
  const float* query;
  const float* key;  ///< [size, padded], row-major: the keys' transpose
  const float* value;
  float* context;
};

/// e^x for x ≤ 0, to about 2e-7 of it. Below -87 it is e^-87. As Cephes' expf: e^x = 2^n · e^r with
/// |r| ≤ ln 2 / 2, and a polynomial of r. NaN stays NaN.
ML_WORKER_INLINE void exponentials(Floats& x) {
  constexpr float kLowest = -87.0F;
  constexpr float kRound = 12582912.0F;  // 1.5 · 2^23: what is added to it loses its fraction
  constexpr float kLn2High = 0.693359375F;
  constexpr float kLn2Low = -2.12194440e-4F;
  x = x < kLowest ? Floats{} + kLowest : x;
  const Floats shifted = x * std::numbers::log2e_v<float> + kRound;
  const Floats n = shifted - kRound;
  const Floats r = x - n * kLn2High - n * kLn2Low;
  Floats p = r * 1.9875691500e-4F + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = p * (r * r) + r + 1.0F;
  Bits exponent;
  std::memcpy(&exponent, &shifted, sizeof exponent);
  exponent = (exponent + 127U) << 23U;
  Floats power;
  std::memcpy(&power, &exponent, sizeof power);
  x = p * power;
}

ML_WORKER_INLINE void load(const float* from, Floats& to) { std::memcpy(&to, from, sizeof to); }
ML_WORKER_INLINE void store(const Floats& from, float* to) { std::memcpy(to, &from, sizeof from); }

/// Scores of kQueries queries: QKᵀ/√d, -∞ where no key is. `scores`: [kQueries, padded].
/// `largest`: of each lane.
ML_WORKER_INLINE void score(const Head& head, const Queries<const float*>& queries, float* scores,
                            Queries<Floats>& largest) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const float scale = 1.0F / std::sqrt(static_cast<float>(head.size));
  for (Floats& each : largest) each = Floats{} - kInfinity;
  for (std::size_t at = 0; at < head.padded; at += kLanes) {
    Queries<Floats> sums{};
    Floats keys;
    for (std::size_t j = 0; j < head.size; ++j) {
      load(head.key + j * head.padded + at, keys);
      for (std::size_t i = 0; i < kQueries; ++i) sums[i] += queries[i][j] * keys;
    }
    for (std::size_t i = 0; i < kQueries; ++i) {
      sums[i] *= scale;
      for (std::size_t j = head.length; j < at + kLanes; ++j) sums[i][j - at] = -kInfinity;
      largest[i] = sums[i] > largest[i] ? sums[i] : largest[i];
      store(sums[i], scores + i * head.padded + at);
    }
  }
}

/// Of one query's `padded` scores to e^(score - highest); returns their sum.
ML_WORKER_INLINE float exponentiate(float* scores, std::size_t padded, const Floats& largest) {
  float highest = largest[0];
  for (std::size_t j = 1; j < kLanes; ++j) highest = std::max(highest, largest[j]);
  Floats sums{};
  for (std::size_t at = 0; at < padded; at += kLanes) {
    Floats weight;
    load(scores + at, weight);
    weight -= highest;
    exponentials(weight);
    sums += weight;
    store(weight, scores + at);
  }
  float sum = 0.0F;
  for (std::size_t j = 0; j < kLanes; ++j) sum += sums[j];
  return sum;
}

/// Of `count` queries from `first` on: the values' sum by `weights` ([kQueries, padded]), over the
/// weights' `sums`, into the context.
ML_WORKER_INLINE void weigh_values(const Head& head, std::size_t first, std::size_t count,
                                   const float* weights, const Queries<float>& sums) {
  for (std::size_t at = 0; at < head.size; at += kLanes) {
    Queries<Floats> results{};
    Floats values;
    for (std::size_t j = 0; j < head.length; ++j) {
      load(head.value + j * 3 * head.hidden + at, values);
      for (std::size_t i = 0; i < kQueries; ++i) {
        results[i] += weights[i * head.padded + j] * values;
      }
    }
    for (std::size_t i = 0; i < count; ++i) {
      store(results[i] / sums[i], head.context + (first + i) * head.hidden + at);
    }
  }
}

/// From queries, `key` and values to the context. `weights`: room for [kQueries, padded].
ML_WORKER_FOR_EACH_VECTOR_WIDTH
void attend_head(const Head& head, float* weights) {
  for (std::size_t first = 0; first < head.length; first += kQueries) {
    const std::size_t count = std::min(kQueries, head.length - first);
    Queries<const float*> queries;
    for (std::size_t i = 0; i < kQueries; ++i) {
      // Beyond the last one it is the last one once more.
      queries[i] = head.query + (first + std::min(i, count - 1)) * 3 * head.hidden;
    }
    Queries<Floats> largest;
    Queries<float> sums;
    score(head, queries, weights, largest);
    for (std::size_t i = 0; i < kQueries; ++i) {
      sums[i] = exponentiate(weights + i * head.padded, head.padded, largest[i]);
    }
    weigh_values(head, first, count, weights, sums);
  }
}

/// The head's keys, which lie behind its queries, to [size, padded].
void transpose_keys(const Head& head, float* key) {
  const float* rows = head.query + head.hidden;
  for (std::size_t i = 0; i < head.length; ++i) {
    for (std::size_t j = 0; j < head.size; ++j) {
      key[j * head.padded + i] = rows[i * 3 * head.hidden + j];
    }
  }
}

/// Heads for which it is worth to wake a thread: some 20 µs.
std::int64_t heads_at_once(const Head& head) {
  constexpr std::size_t kProducts = std::size_t{1} << 18;
  return static_cast<std::int64_t>(kProducts / (head.length * head.padded * head.size) + 1);
}

}  // namespace

bool is_for_short_attention(std::size_t length, std::int64_t head_size) {
  return length <= kLongest && head_size % static_cast<std::int64_t>(kLanes) == 0;
}

void attend_short(const float* qkv, std::size_t texts, std::size_t length, std::size_t heads,
                  std::size_t size, float* context) {
  const std::size_t hidden = heads * size;
  const Head all{length, size,    whole_lanes(length), hidden,
                 qkv,    nullptr, qkv + 2 * hidden,    context};
  at::parallel_for(0, static_cast<std::int64_t>(texts * heads), heads_at_once(all),
                   [&](std::int64_t begin, std::int64_t end) {
                     std::vector<float> key(size * all.padded);
                     std::vector<float> weights(kQueries * all.padded);
                     for (auto i = static_cast<std::size_t>(begin);
                          i < static_cast<std::size_t>(end); ++i) {
                       const std::size_t row = i / heads * length;
                       const std::size_t column = i % heads * size;
                       Head head = all;
                       head.query += row * 3 * hidden + column;
                       head.value += row * 3 * hidden + column;
                       head.context += row * hidden + column;
                       transpose_keys(head, key.data());
                       head.key = key.data();
                       attend_head(head, weights.data());
                     }
                   });
}

}  // namespace ml_worker
