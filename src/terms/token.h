// One step through encoded terms, for whoever must not trust them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "ml_worker/terms.h"

namespace ml_worker::terms {

constexpr char kVersion = static_cast<char>(131);

/// Tags as "External Term Format" names them.
enum class Tag : std::uint8_t {
  new_float = 70,
  bit_binary = 77,
  new_pid = 88,
  new_port = 89,
  newer_reference = 90,
  small_integer = 97,
  integer = 98,
  float_text = 99,
  atom = 100,
  reference = 101,
  port = 102,
  pid = 103,
  small_tuple = 104,
  large_tuple = 105,
  nil = 106,
  string = 107,
  list = 108,
  binary = 109,
  small_big = 110,
  large_big = 111,
  new_fun = 112,
  export_fun = 113,
  new_reference = 114,
  small_atom = 115,
  map = 116,
  atom_utf8 = 118,
  small_atom_utf8 = 119,
  v4_port = 120,
};

/// A term without elements as a whole, or the header of one with elements.
struct Token {
  std::size_t bytes = 0;     ///< the token's own length
  std::size_t children = 0;  ///< terms that follow and belong to it (a list's tail is one)
  std::size_t extent = 0;    ///< bytes of token and children where the format states them, else 0
};

/// The token at the front of `bytes`, or nothing if it is cut short, malformed or of a tag that is
/// not read here (see scan()).
std::optional<Token> read_token(ByteView bytes);

/// Length of the first term of `bytes`. REQUIRES: `bytes` passed scan().
std::size_t term_size(ByteView bytes);

/// FLOAT_EXT's 31 bytes of text as a finite number.
std::optional<double> parse_float_text(ByteView text);

}  // namespace ml_worker::terms
