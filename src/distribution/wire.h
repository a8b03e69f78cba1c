// Big-endian numbers and counted bytes, as epmd, the handshake and frames have them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "ml_worker/terms.h"

namespace ml_worker::distribution {

using terms::Bytes;
using terms::ByteView;

/// Appends the low `width` bytes of `value`, most significant first.
inline void put_number(Bytes& out, std::size_t width, std::uint64_t value) {
  for (std::size_t i = width; i-- > 0;) out.push_back(static_cast<char>(value >> (8 * i)));
}

inline void put_bytes(Bytes& out, ByteView bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

inline void put_text(Bytes& out, std::string_view text) {
  out.insert(out.end(), text.begin(), text.end());
}

/// Appends to what will grow to `expected` bytes, perhaps. A few bytes claim room for eight times
/// as many, half a megabyte for all: pages that nobody has written to cost nothing, but to move
/// tens of megabytes to a larger place would hold up every connection.
inline void append_expecting(Bytes& out, ByteView bytes, std::size_t expected) {
  constexpr std::size_t kGrowth = 8;
  constexpr std::size_t kMoved = 512 << 10;
  const std::size_t needed = out.size() + bytes.size();
  const std::size_t room = needed < kMoved ? std::min(expected, kGrowth * needed) : expected;
  if (needed > out.capacity()) out.reserve(std::max(needed, room));
  put_bytes(out, bytes);
}

/// Reads from the front. Reading past the end yields zeros and empty text and is remembered:
/// parsers read everything first and ask `complete()` once.
class WireReader {
 public:
  explicit WireReader(ByteView bytes) : rest_(bytes) {}

  std::uint64_t number(std::size_t width) {
    std::uint64_t value = 0;
    for (const char byte : take(width)) value = value << 8U | static_cast<std::uint8_t>(byte);
    return value;
  }
  std::uint8_t u8() { return static_cast<std::uint8_t>(number(1)); }
  std::uint16_t u16() { return static_cast<std::uint16_t>(number(2)); }
  std::uint32_t u32() { return static_cast<std::uint32_t>(number(4)); }
  std::uint64_t u64() { return number(8); }

  std::string text(std::size_t length) {
    const ByteView bytes = take(length);
    return {bytes.begin(), bytes.end()};
  }
  std::string remaining_text() { return text(rest_.size()); }

  /// Nothing was read past the end.
  bool within() const { return within_; }
  /// Everything was read and nothing past the end.
  bool complete() const { return within_ && rest_.empty(); }

 private:
  ByteView take(std::size_t length) {
    if (length > rest_.size()) {
      within_ = false;
      rest_ = {};
      return {};
    }
    const ByteView taken = rest_.first(length);
    rest_ = rest_.subspan(length);
    return taken;
  }

  ByteView rest_;
  bool within_ = true;
};

}  // namespace ml_worker::distribution
