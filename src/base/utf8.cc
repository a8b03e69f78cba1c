#include "ml_worker/utf8.h"

namespace ml_worker {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
constexpr std::string_view kEllipsis = "\xE2\x80\xA6";

unsigned char byte_at(std::string_view bytes, std::size_t index) {
  return static_cast<unsigned char>(bytes[index]);
}

bool in_range(unsigned char byte, unsigned char low, unsigned char high) {
  return byte >= low && byte <= high;
}

/// The bounds of the second byte exclude overlong forms, surrogates and what is over U+10FFFF
/// (RFC 3629, section 4).
bool second_byte_fits(unsigned char lead, unsigned char second) {
  switch (lead) {
    case 0xE0:
      return in_range(second, 0xA0, 0xBF);
    case 0xED:
      return in_range(second, 0x80, 0x9F);
    case 0xF0:
      return in_range(second, 0x90, 0xBF);
    case 0xF4:
      return in_range(second, 0x80, 0x8F);
    default:
      return in_range(second, 0x80, 0xBF);
  }
}

std::size_t length_by_lead(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (in_range(lead, 0xC2, 0xDF)) return 2;
  if (in_range(lead, 0xE0, 0xEF)) return 3;
  if (in_range(lead, 0xF0, 0xF4)) return 4;
  return 0;
}

/// Bytes of the code point that `bytes` starts with, 0 if it starts with none. REQUIRES: not empty.
std::size_t code_point_length(std::string_view bytes) {
  const std::size_t length = length_by_lead(byte_at(bytes, 0));
  if (length < 2) return length;
  if (bytes.size() < length || !second_byte_fits(byte_at(bytes, 0), byte_at(bytes, 1))) return 0;
  for (std::size_t i = 2; i < length; ++i) {
    if (!in_range(byte_at(bytes, i), 0x80, 0xBF)) return 0;
  }
  return length;
}

char continuation(std::uint32_t bits) { return static_cast<char>(0x80U | (bits & 0x3FU)); }

}  // namespace

bool is_valid_utf8(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t length = code_point_length(bytes);
    if (length == 0) return false;
    bytes.remove_prefix(length);
  }
  return true;
}

bool append_utf8(std::uint32_t code_point, std::string& out) {
  const bool surrogate = code_point >= 0xD800 && code_point <= 0xDFFF;
  if (surrogate || code_point > 0x10FFFF) return false;
  if (code_point < 0x80) {
    out += static_cast<char>(code_point);
  } else if (code_point < 0x800) {
    out += {static_cast<char>(0xC0U | (code_point >> 6U)), continuation(code_point)};
  } else if (code_point < 0x10000) {
    out += {static_cast<char>(0xE0U | (code_point >> 12U)), continuation(code_point >> 6U),
            continuation(code_point)};
  } else {
    out += {static_cast<char>(0xF0U | (code_point >> 18U)), continuation(code_point >> 12U),
            continuation(code_point >> 6U), continuation(code_point)};
  }
  return true;
}

std::string displayable_utf8(std::string_view bytes, std::size_t limit) {
  std::string result;
  std::size_t taken = 0;
  while (taken < bytes.size()) {
    const std::size_t length = code_point_length(bytes.substr(taken));
    const std::size_t step = length == 0 ? 1 : length;
    if (taken + step > limit) return result.append(kEllipsis);
    const bool replace = length == 0 || bytes[taken] == '\0';
    result.append(replace ? kReplacement : bytes.substr(taken, step));
    taken += step;
  }
  return result;
}

}  // namespace ml_worker
