// A bounded cache of vectors, least recently used out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace ml_worker {

/// What the cache keeps of a text: its vector and how many tokens it was made from.
struct CachedVector {
  std::vector<float> values;
  std::size_t used_tokens = 0;
  std::size_t given_tokens = 0;
  bool given_is_lower_bound = false;
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

  /// `key` holds everything that decides the vector: fingerprint, options, text.
  std::shared_ptr<const CachedVector> get(std::string_view key);
  void put(std::string_view key, std::shared_ptr<const CachedVector> vector);
  void clear();
  CacheStats stats() const;

 private:
  struct Shard;
  Shard& shard_of(std::string_view key) const;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::size_t max_bytes_;
};

}  // namespace ml_worker
