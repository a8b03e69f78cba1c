// UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ml_worker {

bool is_valid_utf8(std::string_view bytes);

/// Bytes of a code point that append_utf8() takes: 1 to 4.
constexpr std::size_t utf8_length(std::uint32_t code_point) {
  if (code_point < 0x80) return 1;
  if (code_point < 0x800) return 2;
  return code_point < 0x10000 ? 3 : 4;
}

/// Appends one code point. Returns false (and appends nothing) on a surrogate or above U+10FFFF.
bool append_utf8(std::uint32_t code_point, std::string& out);

/// `bytes` made fit for a reply: bytes that are not UTF-8, and NUL, become U+FFFD; at most `limit`
/// bytes of input are taken, cut between code points, with U+2026 (…) after a cut.
std::string displayable_utf8(std::string_view bytes, std::size_t limit = 256);

}  // namespace ml_worker
