#include "model/short_attention.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace ml_worker {
namespace {

/// Beyond, libtorch's is faster.
constexpr std::size_t kLongest = 128;
/// Heads and keys come in whole numbers of the widest registers.
constexpr std::size_t kMostLanes = 16;
constexpr std::size_t kQueries = 4;  ///< at a time, so that keys and values are loaded for all

template <typename Value>
using Queries = std::array<Value, kQueries>;

std::size_t whole_registers(std::size_t size) {
  return (size + kMostLanes - 1) / kMostLanes * kMostLanes;
}

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

/// Scores of kQueries queries: QKᵀ/√d, -∞ where no key is. `scores`: [kQueries, padded].
/// `largest`: of each lane.
template <typename Vector>
ML_WORKER_INLINE void score(const Head& head, const Queries<const float*>& queries, float* scores,
                            Queries<Vector>& largest) {
  constexpr std::size_t kLanes = kLanesOf<Vector>;
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const float scale = 1.0F / std::sqrt(static_cast<float>(head.size));
  for (Vector& each : largest) each = Vector{} - kInfinity;
  for (std::size_t at = 0; at < head.padded; at += kLanes) {
    Queries<Vector> sums{};
    Vector keys;
    for (std::size_t j = 0; j < head.size; ++j) {
      load(head.key + j * head.padded + at, keys);
      for (std::size_t i = 0; i < kQueries; ++i) sums[i] += queries[i][j] * keys;
    }
    for (std::size_t i = 0; i < kQueries; ++i) {
      sums[i] *= scale;
      for (std::size_t j = std::max(head.length, at); j < at + kLanes; ++j)
        sums[i][j - at] = -kInfinity;
      largest[i] = sums[i] > largest[i] ? sums[i] : largest[i];
      store(sums[i], scores + i * head.padded + at);
    }
  }
}

/// Of one query's `padded` scores to e^(score - highest); returns their sum.
template <typename Vector>
ML_WORKER_INLINE float exponentiate(float* scores, std::size_t padded, const Vector& largest) {
  constexpr std::size_t kLanes = kLanesOf<Vector>;
  float highest = largest[0];
  for (std::size_t j = 1; j < kLanes; ++j) highest = std::max(highest, largest[j]);
  Vector sums{};
  for (std::size_t at = 0; at < padded; at += kLanes) {
    Vector weight;
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
template <typename Vector>
ML_WORKER_INLINE void weigh_values(const Head& head, std::size_t first, std::size_t count,
                                   const float* weights, const Queries<float>& sums) {
  constexpr std::size_t kLanes = kLanesOf<Vector>;
  for (std::size_t at = 0; at < head.size; at += kLanes) {
    Queries<Vector> results{};
    Vector values;
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
template <typename Vector>
ML_WORKER_INLINE void attend_head(const Head& head, float* weights) {
  for (std::size_t first = 0; first < head.length; first += kQueries) {
    const std::size_t count = std::min(kQueries, head.length - first);
    Queries<const float*> queries;
    for (std::size_t i = 0; i < kQueries; ++i) {
      // Beyond the last one it is the last one once more.
      queries[i] = head.query + (first + std::min(i, count - 1)) * 3 * head.hidden;
    }
    Queries<Vector> largest;
    Queries<float> sums;
    score(head, queries, weights, largest);
    for (std::size_t i = 0; i < kQueries; ++i) {
      sums[i] = exponentiate(weights + i * head.padded, head.padded, largest[i]);
    }
    weigh_values<Vector>(head, first, count, weights, sums);
  }
}

void attend_16_bytes(const Head& head, float* weights) { attend_head<Floats4>(head, weights); }

ML_WORKER_32_BYTES void attend_32_bytes(const Head& head, float* weights) {
  attend_head<Floats8>(head, weights);
}

ML_WORKER_64_BYTES void attend_64_bytes(const Head& head, float* weights) {
  attend_head<Floats16>(head, weights);
}

constexpr ForEachWidth<void(const Head&, float*)> kKernels{attend_16_bytes, attend_32_bytes,
                                                           attend_64_bytes};

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
  return length <= kLongest && head_size % static_cast<std::int64_t>(kMostLanes) == 0;
}

void attend_short(const float* qkv, std::size_t texts, std::size_t length, std::size_t heads,
                  std::size_t size, float* context, VectorWidth width) {
  const std::size_t hidden = heads * size;
  const Head all{length, size,    whole_registers(length), hidden,
                 qkv,    nullptr, qkv + 2 * hidden,        context};
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
                       kKernels[width](head, weights.data());
                     }
                   });
}

}  // namespace ml_worker
