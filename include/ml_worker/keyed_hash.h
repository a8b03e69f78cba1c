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

}  // namespace ml_worker
