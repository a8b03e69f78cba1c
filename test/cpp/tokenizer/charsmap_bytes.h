// A precompiled charsmap with keys of one byte each, as SentencePiece would write it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace ml_worker::testing {

inline void put_little_endian(std::uint32_t value, std::string& out) {
  for (int shift = 0; shift < 32; shift += 8) out.push_back(static_cast<char>(value >> shift));
}

/// `replacements`: ASCII key → text.
inline std::string charsmap_bytes(const std::map<char, std::string>& replacements) {
  // Children of the root stand at 256 ^ key, the leaf of each at 512 and on.
  std::vector<std::uint32_t> units(1024);
  units[0] = 256U << 10;
  std::string texts;
  std::uint32_t leaf = 512;
  for (const auto& [key, text] : replacements) {
    const auto label = static_cast<std::uint8_t>(key);
    const std::uint32_t node = 256U ^ label;
    units[node] = (node ^ leaf) << 10 | 1U << 8 | label;
    units[leaf++] = 1U << 31 | static_cast<std::uint32_t>(texts.size());
    texts += text + '\0';
  }
  std::string bytes;
  put_little_endian(static_cast<std::uint32_t>(units.size() * 4), bytes);
  for (const std::uint32_t unit : units) put_little_endian(unit, bytes);
  return bytes + texts;
}

}  // namespace ml_worker::testing
