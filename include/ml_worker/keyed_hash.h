// A hash for tables whose keys come from callers.
#pragma once

#include <cstddef>
#include <string_view>

namespace ml_worker {

/// SipHash-1-3 (Aumasson, Bernstein 2012) under a key drawn when the process starts, so that
/// nobody can choose texts that collide and make a table slow. Differs between processes.
std::size_t keyed_hash(std::string_view bytes) noexcept;

struct KeyedHash {
  std::size_t operator()(std::string_view bytes) const noexcept { return keyed_hash(bytes); }
};

/// A key that was hashed once, for all tables it is looked up in. Views its text.
struct HashedKey {
  std::size_t hash;
  std::string_view key;

  static HashedKey of(std::string_view key) noexcept { return {keyed_hash(key), key}; }
  bool operator==(const HashedKey& other) const { return hash == other.hash && key == other.key; }

  /// Which of `count` tables of its own kind; a table itself uses the low bits.
  std::size_t part(std::size_t count) const { return (hash >> 48U) % count; }
};

struct StoredHash {
  std::size_t operator()(const HashedKey& key) const noexcept { return key.hash; }
};

}  // namespace ml_worker
