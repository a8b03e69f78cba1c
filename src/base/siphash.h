// SipHash-1-3 with an explicit key: what keyed_hash() runs, open to tests.
#pragma once

#include <cstdint>
#include <string_view>

namespace ml_worker {

struct SipKey {
  std::uint64_t k0;
  std::uint64_t k1;
};

std::uint64_t siphash13(SipKey key, std::string_view bytes) noexcept;

}  // namespace ml_worker
