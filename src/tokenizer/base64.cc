#include "tokenizer/base64.h"

#include <cstdint>
#include <stdexcept>

namespace ml_worker {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::uint32_t digit_value(char digit) {
  const std::size_t value = kAlphabet.find(digit);
  if (value == std::string_view::npos) {
    throw std::invalid_argument("base64: a character that does not belong there");
  }
  return static_cast<std::uint32_t>(value);
}

}  // namespace

std::string decode_base64(std::string_view text) {
  if (text.size() % 4 != 0) throw std::invalid_argument("base64: its length is no multiple of 4");
  for (int i = 0; i < 2 && text.ends_with('='); ++i) text.remove_suffix(1);
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3 + 2);
  std::uint32_t bits = 0;
  int held = 0;
  for (const char digit : text) {
    bits = bits << 6 | digit_value(digit);
    held += 6;
    if (held < 8) continue;
    held -= 8;
    bytes.push_back(static_cast<char>(bits >> held & 0xFF));
  }
  return bytes;
}

}  // namespace ml_worker
