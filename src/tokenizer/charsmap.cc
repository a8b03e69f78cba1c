#include "tokenizer/charsmap.h"

#include <algorithm>
#include <stdexcept>

#include "ml_worker/utf8.h"
#include "tokenizer/graphemes.h"
#include "tokenizer/unicode.h"

namespace ml_worker {
namespace {

/// Clusters of more bytes are never looked up as a whole.
constexpr std::size_t kMaxClusterBytes = 5;

std::uint32_t little_endian(std::string_view bytes) {
  std::uint32_t value = 0;
  for (std::size_t i = 4; i-- > 0;) value = value << 8 | static_cast<std::uint8_t>(bytes[i]);
  return value;
}

// A unit of Darts-clone.
bool has_leaf(std::uint32_t unit) { return (unit >> 8 & 1) != 0; }
std::uint32_t leaf_value(std::uint32_t unit) { return unit & 0x7FFFFFFF; }
std::uint32_t label(std::uint32_t unit) { return unit & 0x800000FF; }
std::uint32_t offset(std::uint32_t unit) { return (unit >> 10) << ((unit & 0x200) >> 6); }

}  // namespace

CharsmapNormalizer::CharsmapNormalizer(std::string_view charsmap) {
  if (charsmap.size() < 4) throw std::invalid_argument("charsmap: shorter than its header");
  const std::size_t size = little_endian(charsmap);
  charsmap.remove_prefix(4);
  if (size % 4 != 0 || size > charsmap.size()) {
    throw std::invalid_argument("charsmap: the trie is longer than the whole");
  }
  for (std::size_t i = 0; i < size; i += 4) units_.push_back(little_endian(charsmap.substr(i, 4)));
  replacements_ = charsmap.substr(size);
  if (!is_valid_utf8(replacements_)) throw std::invalid_argument("charsmap: not valid UTF-8");
  for (std::size_t c = 0; c < is_plain_.size(); ++c) {
    is_plain_.at(c) = !shortest_match(std::string(1, static_cast<char>(c))).has_value();
  }
}

std::optional<std::size_t> CharsmapNormalizer::shortest_match(std::string_view text) const {
  if (units_.empty()) return std::nullopt;
  std::size_t node = offset(units_[0]);
  for (const char c : text) {
    const auto byte = static_cast<std::uint8_t>(c);
    node ^= byte;
    // Offsets come from a file that nobody vouches for.
    if (byte == 0 || node >= units_.size() || label(units_[node]) != byte) return std::nullopt;
    const std::uint32_t unit = units_[node];
    node ^= offset(unit);
    if (!has_leaf(unit)) continue;
    if (node >= units_.size()) return std::nullopt;
    return leaf_value(units_[node]);
  }
  return std::nullopt;
}

bool CharsmapNormalizer::replace(std::string_view text, std::u32string& out) const {
  const auto at = shortest_match(text);
  if (!at || *at > replacements_.size()) return false;
  out += unicode::decode(std::string_view(replacements_.c_str() + *at));
  return true;
}

bool CharsmapNormalizer::replace_whole(std::u32string_view cluster, std::u32string& out) const {
  std::string bytes;
  for (std::size_t i = 0; i < cluster.size() && bytes.size() <= kMaxClusterBytes; ++i) {
    append_utf8(cluster[i], bytes);
  }
  return bytes.size() <= kMaxClusterBytes && replace(bytes, out);
}

void CharsmapNormalizer::replace_one(char32_t c, std::u32string& out) const {
  std::string bytes;
  append_utf8(c, bytes);
  if (!replace(bytes, out)) out.push_back(c);
}

void CharsmapNormalizer::normalize(std::u32string_view text, std::u32string& out) const {
  while (!text.empty()) {
    const std::size_t length = unicode::grapheme_length(text);
    if (length == 1 && text[0] < 0x80 && is_plain_[text[0]]) {
      out.push_back(text[0]);
    } else {
      const std::u32string_view cluster = text.substr(0, length);
      if (!replace_whole(cluster, out)) {
        for (const char32_t c : cluster) replace_one(c, out);
      }
    }
    text.remove_prefix(length);
  }
}

void CharsmapNormalizer::normalize_aligned(std::u32string_view text, AlignedText& out) const {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = segment_length(text.substr(at));
    const std::size_t begin = out.text.size();
    if (replace_whole(text.substr(at, length), out.text)) {
      for (std::size_t i = begin; i < out.text.size(); ++i) {
        out.origin.push_back(at + std::min(i - begin, length - 1));
      }
    } else {
      for (std::size_t i = 0; i < length; ++i) {
        replace_one(text[at + i], out.text);
        out.origin.resize(out.text.size(), at + i);
      }
    }
    at += length;
  }
}

std::size_t CharsmapNormalizer::segment_length(std::u32string_view text) const {
  return unicode::grapheme_length(text);
}

bool CharsmapNormalizer::is_boundary(char32_t before, char32_t after) const {
  if (after != ' ' || unicode::is_white_space(before)) return false;
  if (before < 0x80) return is_plain_[before];
  std::string bytes;
  append_utf8(before, bytes);
  return (unicode::is_letter(before) || unicode::is_number(before)) && !shortest_match(bytes) &&
         !unicode::takes_next(before);
}

}  // namespace ml_worker
