#include "terms/token.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string_view>

#include "ml_worker/utf8.h"

namespace ml_worker::terms {
namespace {

constexpr std::size_t kMaxAtomCodePoints = 255;
constexpr std::size_t kMaxReferenceWords = 5;
constexpr std::size_t kFloatTextBytes = 31;

/// Reads forward through bytes; every step fails instead of passing the end.
class Cursor {
 public:
  explicit Cursor(ByteView bytes) : bytes_(bytes) {}

  std::size_t position() const { return position_; }

  bool skip(std::size_t count) { return take(count).has_value(); }

  std::optional<ByteView> take(std::size_t count) {
    if (count > bytes_.size() - position_) return std::nullopt;
    position_ += count;
    return bytes_.subspan(position_ - count, count);
  }

  /// Big-endian, `width` ≤ 4 bytes.
  std::optional<std::uint32_t> number(std::size_t width) {
    const auto bytes = take(width);
    if (!bytes) return std::nullopt;
    std::uint32_t value = 0;
    for (const char byte : *bytes) value = value << 8 | static_cast<std::uint8_t>(byte);
    return value;
  }

  /// A length of `width` bytes and that many bytes (and `extra` more).
  bool skip_sized(std::size_t width, std::size_t extra = 0) {
    const auto length = number(width);
    return length && skip(*length + extra);
  }

 private:
  ByteView bytes_;
  std::size_t position_ = 0;
};

bool skip_utf8_atom(Cursor& in, std::size_t width) {
  const auto length = in.number(width);
  const auto name = length ? in.take(*length) : std::nullopt;
  if (!name) return false;
  const auto is_first_byte = [](char byte) { return (byte & 0xC0) != 0x80; };
  const auto code_points = std::count_if(name->begin(), name->end(), is_first_byte);
  return static_cast<std::size_t>(code_points) <= kMaxAtomCodePoints &&
         is_valid_utf8({name->data(), name->size()});
}

bool skip_latin1_atom(Cursor& in, std::size_t width) {
  const auto length = in.number(width);
  return length && *length <= kMaxAtomCodePoints && in.skip(*length);
}

bool skip_atom_body(Cursor& in, Tag tag) {
  switch (tag) {
    case Tag::small_atom_utf8:
      return skip_utf8_atom(in, 1);
    case Tag::atom_utf8:
      return skip_utf8_atom(in, 2);
    case Tag::small_atom:
      return skip_latin1_atom(in, 1);
    case Tag::atom:
      return skip_latin1_atom(in, 2);
    default:
      return false;
  }
}

bool skip_atom(Cursor& in) {
  const auto tag = in.number(1);
  return tag && skip_atom_body(in, static_cast<Tag>(*tag));
}

bool skip_small_integer(Cursor& in) {
  const auto tag = in.number(1);
  if (!tag) return false;
  if (static_cast<Tag>(*tag) == Tag::small_integer) return in.skip(1);
  return static_cast<Tag>(*tag) == Tag::integer && in.skip(4);
}

bool skip_pid(Cursor& in) {
  const auto tag = in.number(1);
  if (!tag || !skip_atom(in)) return false;
  if (static_cast<Tag>(*tag) == Tag::new_pid) return in.skip(12);
  return static_cast<Tag>(*tag) == Tag::pid && in.skip(9);
}

/// Not NaN and not infinite: no VM sends those, and none can read them.
bool skip_new_float(Cursor& in) {
  const auto bytes = in.take(8);
  return bytes && !(((*bytes)[0] & 0x7F) == 0x7F && ((*bytes)[1] & 0xF0) == 0xF0);
}

bool skip_float_text(Cursor& in) {
  const auto text = in.take(kFloatTextBytes);
  return text && parse_float_text(*text);
}

bool skip_big(Cursor& in, std::size_t width) {
  const auto length = in.number(width);
  const auto sign = in.number(1);
  return length && sign && *sign <= 1 && in.skip(*length);
}

/// Bits used of the last byte: 1 … 8, or 0 in an empty bitstring.
bool skip_bit_binary(Cursor& in) {
  const auto length = in.number(4);
  const auto bits = in.number(1);
  return length && bits && *bits <= 8 && (*bits == 0) == (*length == 0) && in.skip(*length);
}

bool skip_reference_words(Cursor& in, std::size_t creation_bytes) {
  const auto words = in.number(2);
  return words && *words >= 1 && *words <= kMaxReferenceWords && skip_atom(in) &&
         in.skip(creation_bytes + std::size_t{4} * *words);
}

bool skip_export(Cursor& in) {
  const bool module = skip_atom(in);
  const bool function = module && skip_atom(in);
  if (!function) return false;
  const auto tag = in.number(1);
  return tag && static_cast<Tag>(*tag) == Tag::small_integer && in.skip(1);
}

std::optional<Token> whole(const Cursor& in, bool well_formed) {
  if (!well_formed) return std::nullopt;
  return Token{.bytes = in.position()};
}

/// A count of `width` bytes; `factor` terms for each, and `extra` more.
std::optional<Token> header(Cursor& in, std::size_t width, std::size_t factor = 1,
                            std::size_t extra = 0) {
  const auto count = in.number(width);
  if (!count) return std::nullopt;
  return Token{.bytes = in.position(), .children = *count * factor + extra};
}

/// Size, arity, digest, index, count of free variables; module, two integers, pid; the variables.
std::optional<Token> new_fun(Cursor& in) {
  const auto size = in.number(4);
  if (!size || !in.skip(1 + 16 + 4)) return std::nullopt;
  const auto variables = in.number(4);
  if (!variables || !skip_atom(in) || !skip_small_integer(in) || !skip_small_integer(in) ||
      !skip_pid(in)) {
    return std::nullopt;
  }
  // The size counts itself, but not the tag.
  return Token{.bytes = in.position(), .children = *variables, .extent = std::size_t{*size} + 1};
}

}  // namespace

std::optional<double> parse_float_text(ByteView text) {
  const auto* const end = std::find(text.data(), text.data() + text.size(), '\0');
  if (end == text.data() + text.size()) return std::nullopt;
  double value = 0.0;
  const auto [last, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || last != end || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::optional<Token> read_token(ByteView bytes) {
  Cursor in(bytes);
  const auto byte = in.number(1);
  if (!byte) return std::nullopt;
  const auto tag = static_cast<Tag>(*byte);
  switch (tag) {
    case Tag::nil:
      return whole(in, true);
    case Tag::small_integer:
      return whole(in, in.skip(1));
    case Tag::integer:
      return whole(in, in.skip(4));
    case Tag::new_float:
      return whole(in, skip_new_float(in));
    case Tag::float_text:
      return whole(in, skip_float_text(in));
    case Tag::small_big:
      return whole(in, skip_big(in, 1));
    case Tag::large_big:
      return whole(in, skip_big(in, 4));
    case Tag::atom:
    case Tag::small_atom:
    case Tag::atom_utf8:
    case Tag::small_atom_utf8:
      return whole(in, skip_atom_body(in, tag));
    case Tag::string:
      return whole(in, in.skip_sized(2));
    case Tag::binary:
      return whole(in, in.skip_sized(4));
    case Tag::bit_binary:
      return whole(in, skip_bit_binary(in));
    case Tag::pid:
      return whole(in, skip_atom(in) && in.skip(9));
    case Tag::new_pid:
      return whole(in, skip_atom(in) && in.skip(12));
    case Tag::port:
    case Tag::reference:
      return whole(in, skip_atom(in) && in.skip(5));
    case Tag::new_port:
      return whole(in, skip_atom(in) && in.skip(8));
    case Tag::v4_port:
      return whole(in, skip_atom(in) && in.skip(12));
    case Tag::new_reference:
      return whole(in, skip_reference_words(in, 1));
    case Tag::newer_reference:
      return whole(in, skip_reference_words(in, 4));
    case Tag::export_fun:
      return whole(in, skip_export(in));
    case Tag::small_tuple:
      return header(in, 1);
    case Tag::large_tuple:
      return header(in, 4);
    case Tag::list:
      return header(in, 4, 1, 1);
    case Tag::map:
      return header(in, 4, 2);
    case Tag::new_fun:
      return new_fun(in);
  }
  return std::nullopt;
}

std::size_t term_size(ByteView bytes) {
  std::size_t size = 0;
  for (std::size_t left = 1; left > 0; --left) {
    const auto token = read_token(bytes.subspan(size));
    if (!token) return bytes.size();  // Not a scanned term: stay inside.
    size += token->bytes;
    left += token->children;
  }
  return size;
}

}  // namespace ml_worker::terms
