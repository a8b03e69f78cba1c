#include "tokenizer/graphemes.h"

#include <unicode/uchar.h>

#include <algorithm>
#include <array>
#include <utility>

namespace ml_worker::unicode {
namespace {

/// Grapheme_Cluster_Break=Extend since Unicode 15.1; ICU may be older.
constexpr std::array<std::pair<char32_t, char32_t>, 20> kYoungExtend = {
    {{0x897, 0x897},     {0x1ACF, 0x1ADD},   {0x1AE0, 0x1AEB},   {0x10D69, 0x10D6D},
     {0x10EFA, 0x10EFC}, {0x113B8, 0x113C0}, {0x113C2, 0x113C2}, {0x113C5, 0x113C5},
     {0x113C7, 0x113CA}, {0x113CC, 0x113D0}, {0x113D2, 0x113D2}, {0x113E1, 0x113E2},
     {0x11B60, 0x11B67}, {0x11F5A, 0x11F5A}, {0x1611E, 0x1612F}, {0x1E5EE, 0x1E5EF},
     {0x1E6E3, 0x1E6E3}, {0x1E6E6, 0x1E6E6}, {0x1E6EE, 0x1E6EF}, {0x1E6F5, 0x1E6F5}}};

bool is_young_extend(char32_t c) {
  return std::any_of(kYoungExtend.begin(), kYoungExtend.end(),
                     [c](const auto& range) { return c >= range.first && c <= range.second; });
}

int break_property(char32_t c) {
  if (c == 0x113D1) return U_GCB_PREPEND;
  if (c == 0x11A3A) return U_GCB_OTHER;
  const int property = u_getIntPropertyValue(static_cast<UChar32>(c), UCHAR_GRAPHEME_CLUSTER_BREAK);
  return property == U_GCB_OTHER && is_young_extend(c) ? U_GCB_EXTEND : property;
}

bool is_control(int property) {
  return property == U_GCB_CONTROL || property == U_GCB_CR || property == U_GCB_LF;
}

/// Rules GB6 to GB8.
bool is_one_syllable(int before, int after) {
  switch (before) {
    case U_GCB_L:
      return after == U_GCB_L || after == U_GCB_V || after == U_GCB_LV || after == U_GCB_LVT;
    case U_GCB_LV:
    case U_GCB_V:
      return after == U_GCB_V || after == U_GCB_T;
    case U_GCB_LVT:
    case U_GCB_T:
      return after == U_GCB_T;
    default:
      return false;
  }
}

/// Rules GB3 to GB9b.
bool is_joined(int before, int after) {
  if (before == U_GCB_CR) return after == U_GCB_LF;
  if (is_control(before) || is_control(after)) return false;
  return before == U_GCB_PREPEND || after == U_GCB_EXTEND || after == U_GCB_ZWJ ||
         after == U_GCB_SPACING_MARK || is_one_syllable(before, after);
}

}  // namespace

std::size_t grapheme_length(std::u32string_view text) {
  // Most text is ASCII, where only CR LF is a cluster of two.
  if (text.size() > 1 && text[0] < 0x80 && text[1] < 0x80 && text[0] != '\r') return 1;
  int before = break_property(text[0]);
  for (std::size_t i = 1; i < text.size(); ++i) {
    const int after = break_property(text[i]);
    if (!is_joined(before, after)) return i;
    before = after;
  }
  return text.size();
}

bool takes_next(char32_t c) { return break_property(c) == U_GCB_PREPEND; }

}  // namespace ml_worker::unicode
