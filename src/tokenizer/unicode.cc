#include "tokenizer/unicode.h"

#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/utf8.h>

#include <algorithm>
#include <array>

#include "ml_worker/utf8.h"

namespace ml_worker::unicode {
namespace {

UChar32 icu(char32_t c) { return static_cast<UChar32>(c); }

/// Younger characters count as unassigned.
bool in_unicode_8(char32_t c) {
  UVersionInfo age;
  u_charAge(icu(c), age);
  return age[0] > 0 && age[0] <= 8;
}

/// The general category in Unicode 8.0, as a U_GC_*_MASK. Six code points have changed since.
std::uint32_t category_mask(char32_t c) {
  switch (c) {
    case 0x166D:
    case 0x111C9:
      return U_GC_PO_MASK;
    case 0x1734:
      return U_GC_MN_MASK;
    case 0x1885:
    case 0x1886:
      return U_GC_LO_MASK;
    case 0xA9BD:
      return U_GC_MC_MASK;
    default:
      return in_unicode_8(c) ? U_GET_GC_MASK(icu(c)) : U_GC_CN_MASK;
  }
}

struct Range {
  char32_t first;
  char32_t last;
};

/// Letters and numbers of Unicode 15.1 and 16.0, which ICU may be too old to know.
constexpr std::array<Range, 22> kYoungLetters = {
    {{0x1C89, 0x1C8A},   {0xA7CB, 0xA7CD},   {0xA7DA, 0xA7DC},   {0x105C0, 0x105F3},
     {0x10D4A, 0x10D65}, {0x10D6F, 0x10D85}, {0x10EC2, 0x10EC4}, {0x11380, 0x11389},
     {0x1138B, 0x1138B}, {0x1138E, 0x1138E}, {0x11390, 0x113B5}, {0x113B7, 0x113B7},
     {0x113D1, 0x113D1}, {0x113D3, 0x113D3}, {0x11BC0, 0x11BE0}, {0x13460, 0x143FA},
     {0x16100, 0x1611D}, {0x16D40, 0x16D6C}, {0x18CFF, 0x18CFF}, {0x1E5D0, 0x1E5ED},
     {0x1E5F0, 0x1E5F0}, {0x2EBF0, 0x2EE5D}}};
constexpr std::array<Range, 7> kYoungNumbers = {{{0x10D40, 0x10D49},
                                                 {0x116D0, 0x116E3},
                                                 {0x11BF0, 0x11BF9},
                                                 {0x16130, 0x16139},
                                                 {0x16D70, 0x16D79},
                                                 {0x1CCF0, 0x1CCF9},
                                                 {0x1E5F1, 0x1E5FA}}};

template <std::size_t Size>
bool contains(const std::array<Range, Size>& ranges, char32_t c) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [c](const Range& range) { return c >= range.first && c <= range.last; });
}

const UNormalizer2* nfd() {
  static const UNormalizer2* const instance = [] {
    UErrorCode status = U_ZERO_ERROR;
    return unorm2_getNFDInstance(&status);
  }();
  return instance;
}

}  // namespace

std::u32string decode(std::string_view utf8) {
  std::u32string out;
  out.reserve(utf8.size());
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(utf8.data());
  const std::size_t size = utf8.size();
  for (std::size_t i = 0; i < size;) {
    UChar32 c = 0;
    U8_NEXT_OR_FFFD(bytes, i, size, c);
    out.push_back(static_cast<char32_t>(c));
  }
  return out;
}

std::string encode(std::u32string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (const char32_t c : text) append_utf8(c, bytes);
  return bytes;
}

bool is_white_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= '\t' && c <= '\r');
  return u_isUWhiteSpace(icu(c)) != 0;
}

bool is_control(char32_t c) {
  if (c < 0x80) return (c < ' ' && c != '\t' && c != '\n' && c != '\r') || c == 0x7F;
  return (category_mask(c) & (U_GC_CC_MASK | U_GC_CF_MASK | U_GC_CO_MASK)) != 0;
}

bool is_punctuation(char32_t c) {
  if (c < 0x80) {
    return c > ' ' && c < 0x7F && !(c >= '0' && c <= '9') &&
           !((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
  }
  return (category_mask(c) & U_GC_P_MASK) != 0;
}

bool is_nonspacing_mark(char32_t c) { return c >= 0x80 && (category_mask(c) & U_GC_MN_MASK) != 0; }

bool is_word(char32_t c) {
  return u_isUAlphabetic(icu(c)) != 0 || u_hasBinaryProperty(icu(c), UCHAR_JOIN_CONTROL) != 0 ||
         (U_GET_GC_MASK(icu(c)) & (U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK)) != 0;
}

bool is_letter(char32_t c) {
  if (c < 0x80) return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
  const std::uint32_t mask = U_GET_GC_MASK(icu(c));
  if (mask != U_GC_CN_MASK) return (mask & U_GC_L_MASK) != 0;
  return contains(kYoungLetters, c);
}

bool is_number(char32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9';
  const std::uint32_t mask = U_GET_GC_MASK(icu(c));
  if (mask != U_GC_CN_MASK) return (mask & U_GC_N_MASK) != 0;
  return contains(kYoungNumbers, c);
}

bool is_cjk_ideograph(char32_t c) {
  // 2B920 is Hugging Face's: the block begins at 2B820.
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
         (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

void append_lower(char32_t c, std::u32string& out) {
  if (c == 0x130) {  // the only lower case of two code points
    out += U"i\u0307";
  } else {
    out.push_back(static_cast<char32_t>(u_tolower(icu(c))));
  }
}

void decompose(char32_t c, std::u32string& out) {
  std::array<UChar, 32> buffer{};
  UErrorCode status = U_ZERO_ERROR;
  const auto length = unorm2_getDecomposition(nfd(), icu(c), buffer.data(), buffer.size(), &status);
  if (length < 0 || U_FAILURE(status) != 0) {
    out.push_back(c);
    return;
  }
  for (int32_t i = 0; i < length;) {
    UChar32 part = 0;
    U16_NEXT(buffer.data(), i, length, part);
    out.push_back(static_cast<char32_t>(part));
  }
}

int combining_class(char32_t c) { return c < 0x300 ? 0 : u_getCombiningClass(icu(c)); }

}  // namespace ml_worker::unicode
