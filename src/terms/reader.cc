#include <ei.h>

#include "ml_worker/terms.h"
#include "ml_worker/utf8.h"
#include "terms/token.h"

namespace ml_worker::terms {
namespace {

std::string_view to_text(ByteView bytes) { return {bytes.data(), bytes.size()}; }

std::string utf8_from_latin1(ByteView bytes) {
  std::string text;
  text.reserve(bytes.size());
  for (const char byte : bytes) append_utf8(static_cast<std::uint8_t>(byte), text);
  return text;
}

TermType type_of(Tag tag) {
  switch (tag) {
    case Tag::atom:
    case Tag::small_atom:
    case Tag::atom_utf8:
    case Tag::small_atom_utf8:
      return TermType::atom;
    case Tag::small_integer:
    case Tag::integer:
    case Tag::small_big:
    case Tag::large_big:
      return TermType::integer;
    case Tag::new_float:
    case Tag::float_text:
      return TermType::floating;
    case Tag::binary:
      return TermType::binary;
    case Tag::bit_binary:
      return TermType::bitstring;
    case Tag::string:
      return TermType::string;
    case Tag::nil:
      return TermType::nil;
    case Tag::list:
      return TermType::list;
    case Tag::small_tuple:
    case Tag::large_tuple:
      return TermType::tuple;
    case Tag::map:
      return TermType::map;
    case Tag::pid:
    case Tag::new_pid:
      return TermType::pid;
    case Tag::reference:
    case Tag::new_reference:
    case Tag::newer_reference:
      return TermType::reference;
    case Tag::port:
    case Tag::new_port:
    case Tag::v4_port:
      return TermType::port;
    case Tag::new_fun:
    case Tag::export_fun:
      break;
  }
  return TermType::fun;
}

Tag tag_of(ByteView rest) { return static_cast<Tag>(static_cast<std::uint8_t>(rest.front())); }

/// Runs one of libei's decoders at the front of `rest` and moves past what it read.
template <typename Decode>
bool decode(ByteView& rest, Decode decode_term) {
  int index = 0;
  if (decode_term(rest.data(), &index) != 0) return false;
  rest = rest.subspan(static_cast<std::size_t>(index));
  return true;
}

using DecodeHeader = int (*)(const char*, int*, int*);

std::optional<std::size_t> decode_count(ByteView& rest, DecodeHeader decode_header) {
  int count = 0;
  const bool decoded = decode(
      rest, [&](const char* buffer, int* index) { return decode_header(buffer, index, &count); });
  if (!decoded) return std::nullopt;
  return static_cast<std::size_t>(count);
}

}  // namespace

Reader::Reader(ScannedTerm term) : rest_(term.bytes()) {}

bool Reader::at_end() const { return rest_.empty(); }

TermType Reader::type() const { return type_of(tag_of(rest_)); }

// Not ei_decode_atom: it ends a name at its first NUL, so that two atoms could look the same.
std::optional<std::string> Reader::read_atom() {
  if (at_end() || type() != TermType::atom) return std::nullopt;
  const Tag tag = tag_of(rest_);
  const bool small = tag == Tag::small_atom || tag == Tag::small_atom_utf8;
  const ByteView name = read_raw().subspan(small ? 2 : 3);
  if (tag == Tag::atom || tag == Tag::small_atom) return utf8_from_latin1(name);
  return std::string(to_text(name));
}

std::optional<std::int64_t> Reader::read_integer() {
  if (at_end() || type() != TermType::integer) return std::nullopt;
  EI_LONGLONG value = 0;
  const bool decoded = decode(rest_, [&](const char* buffer, int* index) {
    return ei_decode_longlong(buffer, index, &value);
  });
  if (!decoded) return std::nullopt;
  return value;
}

// FLOAT_EXT is not left to ei_decode_double, which reads it as the locale has it.
std::optional<double> Reader::read_float() {
  if (at_end() || type() != TermType::floating) return std::nullopt;
  if (tag_of(rest_) == Tag::float_text) return parse_float_text(read_raw().subspan(1));
  double value = 0.0;
  decode(rest_,
         [&](const char* buffer, int* index) { return ei_decode_double(buffer, index, &value); });
  return value;
}

std::optional<std::string_view> Reader::read_binary() {
  if (at_end() || type() != TermType::binary) return std::nullopt;
  return to_text(read_raw().subspan(5));
}

std::optional<std::string_view> Reader::read_string() {
  if (at_end() || type() != TermType::string) return std::nullopt;
  return to_text(read_raw().subspan(3));
}

std::optional<std::size_t> Reader::read_tuple() {
  if (at_end() || type() != TermType::tuple) return std::nullopt;
  return decode_count(rest_, ei_decode_tuple_header);
}

std::optional<std::size_t> Reader::read_map() {
  if (at_end() || type() != TermType::map) return std::nullopt;
  return decode_count(rest_, ei_decode_map_header);
}

std::optional<std::size_t> Reader::read_list() {
  if (at_end() || type() != TermType::list) return std::nullopt;
  return decode_count(rest_, ei_decode_list_header);
}

bool Reader::read_nil() {
  if (at_end() || type() != TermType::nil) return false;
  rest_ = rest_.subspan(1);
  return true;
}

// Not ei_skip_term: it recurses, and hostile nesting overflows the stack.
ByteView Reader::read_raw() {
  const ByteView term = rest_.first(at_end() ? 0 : term_size(rest_));
  rest_ = rest_.subspan(term.size());
  return term;
}

ScannedTerm Reader::read_term() { return ScannedTerm(read_raw()); }

}  // namespace ml_worker::terms
