// A histogram by powers of two, for counters that several threads raise.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace ml_worker {

struct HistogramSnapshot {
  /// Bucket i counts values below 2^i that no earlier bucket counts; the last one takes the rest.
  static constexpr std::size_t kBuckets = 36;
  std::array<std::uint64_t, kBuckets> buckets{};
  std::uint64_t count = 0;
  std::uint64_t sum = 0;
};

/// Thread safe. A snapshot taken during an add() may lack that value in one of its fields.
class Histogram {
 public:
  void add(std::uint64_t value) {
    const auto width = static_cast<std::size_t>(std::bit_width(value));
    const std::size_t last = HistogramSnapshot::kBuckets - 1;
    buckets_[width < last ? width : last].fetch_add(1, std::memory_order_relaxed);
    sum_.fetch_add(value, std::memory_order_relaxed);
  }

  HistogramSnapshot snapshot() const {
    HistogramSnapshot result;
    for (std::size_t i = 0; i < HistogramSnapshot::kBuckets; ++i) {
      result.buckets[i] = buckets_[i].load(std::memory_order_relaxed);
      result.count += result.buckets[i];
    }
    result.sum = sum_.load(std::memory_order_relaxed);
    return result;
  }

 private:
  std::array<std::atomic<std::uint64_t>, HistogramSnapshot::kBuckets> buckets_{};
  std::atomic<std::uint64_t> sum_{0};
};

}  // namespace ml_worker
