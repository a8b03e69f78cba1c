#include "ml_worker/cache.h"

#include <algorithm>
#include <list>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>

#include "ml_worker/keyed_hash.h"

namespace ml_worker {
namespace {

constexpr std::size_t kMaxShards = 16;
/// A shard holds the largest text (1 MiB) with its vector and some neighbours.
constexpr std::size_t kMinShardBytes = std::size_t{4} << 20;

std::size_t shard_count(std::size_t max_bytes) {
  if (max_bytes == 0) return 0;
  return std::clamp(max_bytes / kMinShardBytes, std::size_t{1}, kMaxShards);
}

struct Entry {
  std::string key;
  std::size_t hash;
  std::shared_ptr<const CachedVector> vector;
  std::size_t bytes;
};

using Entries = std::list<Entry>;

/// Nodes of list and table, their pointers, and the heap's own headers.
constexpr std::size_t kBookkeepingBytes = sizeof(Entry) + sizeof(CachedVector) + 128;

std::size_t bytes_of(std::string_view key, const CachedVector& vector) {
  return key.size() + vector.values.capacity() * sizeof(float) + kBookkeepingBytes;
}

}  // namespace

/// Most recently used first. `table` has one entry per node of `entries` and views its key.
struct VectorCache::Shard {
  explicit Shard(std::size_t max) : max_bytes(max) {}

  std::shared_ptr<const CachedVector> get(const HashedKey& key) {
    const std::lock_guard lock(mutex);
    const auto found = table.find(key);
    if (found == table.end()) {
      ++misses;
      return nullptr;
    }
    ++hits;
    entries.splice(entries.begin(), entries, found->second);
    return found->second->vector;
  }

  std::shared_ptr<const CachedVector> peek(const HashedKey& key) const {
    const std::lock_guard lock(mutex);
    const auto found = table.find(key);
    return found == table.end() ? nullptr : found->second->vector;
  }

  void put(Entry entry) {
    Entries incoming;
    incoming.push_back(std::move(entry));
    Entries removed;  // freed after the lock is released
    const std::lock_guard lock(mutex);
    const HashedKey key{incoming.front().hash, incoming.front().key};
    if (const auto found = table.find(key); found != table.end()) remove(found->second, removed);
    bytes += incoming.front().bytes;
    entries.splice(entries.begin(), incoming);
    table.emplace(key, entries.begin());
    while (bytes > max_bytes) remove(std::prev(entries.end()), removed);
  }

  void remove(Entries::iterator entry, Entries& removed) {
    table.erase({entry->hash, entry->key});
    bytes -= entry->bytes;
    removed.splice(removed.end(), entries, entry);
  }

  void clear() {
    Entries removed;
    const std::lock_guard lock(mutex);
    table.clear();
    removed.swap(entries);
    bytes = 0;
  }

  void add_to(CacheStats& stats) const {
    const std::lock_guard lock(mutex);
    stats.hits += hits;
    stats.misses += misses;
    stats.entries += entries.size();
    stats.bytes += bytes;
  }

  const std::size_t max_bytes;
  mutable std::mutex mutex;
  Entries entries;
  std::unordered_map<HashedKey, Entries::iterator, StoredHash> table;
  std::size_t bytes = 0;
  std::uint64_t hits = 0;
  std::uint64_t misses = 0;
};

VectorCache::VectorCache(std::size_t max_bytes) : max_bytes_(max_bytes) {
  const std::size_t count = shard_count(max_bytes);
  for (std::size_t i = 0; i < count; ++i) {
    shards_.push_back(std::make_unique<Shard>(max_bytes / count));
  }
}

VectorCache::~VectorCache() = default;

VectorCache::Shard& VectorCache::shard_of(const HashedKey& key) const {
  return *shards_[key.part(shards_.size())];
}

std::shared_ptr<const CachedVector> VectorCache::get(std::string_view key) {
  if (shards_.empty()) return nullptr;
  const HashedKey hashed = HashedKey::of(key);
  return shard_of(hashed).get(hashed);
}

std::shared_ptr<const CachedVector> VectorCache::peek(std::string_view key) const {
  if (shards_.empty()) return nullptr;
  const HashedKey hashed = HashedKey::of(key);
  return shard_of(hashed).peek(hashed);
}

void VectorCache::put(std::string_view key, std::shared_ptr<const CachedVector> vector) {
  if (shards_.empty()) return;
  const HashedKey hashed = HashedKey::of(key);
  Shard& shard = shard_of(hashed);
  const std::size_t bytes = bytes_of(key, *vector);
  if (bytes > shard.max_bytes) return;
  shard.put({std::string(key), hashed.hash, std::move(vector), bytes});
}

void VectorCache::clear() {
  for (const auto& shard : shards_) shard->clear();
}

CacheStats VectorCache::stats() const {
  CacheStats stats;
  stats.max_bytes = max_bytes_;
  for (const auto& shard : shards_) shard->add_to(stats);
  return stats;
}

}  // namespace ml_worker
