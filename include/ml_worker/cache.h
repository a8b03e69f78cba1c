// A bounded cache of vectors, least recently used out.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "ml_worker/keyed_hash.h"

namespace ml_worker {

/// What the cache keeps of a text: its vector and how many tokens it was made from.
struct CachedVector {
  std::vector<float> values;
  std::size_t used_tokens = 0;
  std::size_t given_tokens = 0;
  bool given_is_lower_bound = false;
  std::chrono::steady_clock::time_point made{};  ///< when the vector was ready
};

struct CacheStats {
  std::uint64_t hits = 0;
  std::uint64_t misses = 0;
  std::size_t entries = 0;
  std::size_t bytes = 0;  ///< keys, vectors and bookkeeping
  std::size_t max_bytes = 0;
};

/// Thread safe. Entries are shared and immutable, so a hit copies no vector.
class VectorCache {
 public:
  /// 0 switches the cache off: every get misses, puts are dropped.
  explicit VectorCache(std::size_t max_bytes);
  ~VectorCache();
  VectorCache(const VectorCache&) = delete;
  VectorCache& operator=(const VectorCache&) = delete;

  /// `key` holds everything that decides the vector: fingerprint, options, text. Keys are compared
  /// whole. Counts a hit or a miss, and a hit is the most recent use.
  std::shared_ptr<const CachedVector> get(std::string_view key);
  /// As get(), but neither counted nor a use.
  std::shared_ptr<const CachedVector> peek(std::string_view key) const;
  /// Replaces what was there. Dropped if it is larger than a shard (a 16th of a large cache).
  void put(std::string_view key, std::shared_ptr<const CachedVector> vector);
  void clear();
  CacheStats stats() const;

 private:
  struct Shard;
  Shard& shard_of(const HashedKey& key) const;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::size_t max_bytes_;
};

}  // namespace ml_worker
