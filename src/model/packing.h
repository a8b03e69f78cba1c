// Texts side by side without padding: which text lies where.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "ml_worker/encoder.h"

namespace ml_worker {

/// Texts of equal length, next to each other: attention takes them at once.
struct EqualLengths {
  std::size_t first_token;  ///< row of the first token of the first text
  std::size_t texts;
  std::size_t length;  ///< tokens of each text
};

struct Packing {
  std::vector<std::size_t> order;         ///< texts as they lie; by length, then as given
  std::vector<std::size_t> first_tokens;  ///< by text as given: row of its first token
  std::vector<EqualLengths> groups;
  std::size_t tokens = 0;  ///< rows in all
};

/// REQUIRES: every length ≥ 1.
Packing pack(std::span<const std::size_t> lengths);

/// The next of the sizes of which `per_octave` stand between a power of two and the next, but no
/// nearer to each other than `least_step`. REQUIRES: `size` ≥ 1.
std::size_t next_size(std::size_t size, std::size_t per_octave, std::size_t least_step);

/// The rows that `tokens` tokens are computed in: the next of a few sizes, at most a sixteenth more
/// (up to 32: one more; up to 128: up to 7). oneDNN compiles code for each number of rows and keeps
/// it: of every number up to a batch's budget, that would be hundreds of MB.
std::size_t rows_for(std::size_t tokens);

/// Where each text begins, as they lie, and the last one ends: texts + 1 numbers.
std::vector<std::int32_t> text_bounds(const Packing& packing);

/// Tokens of the longest text.
std::int64_t longest_text(const Packing& packing);

/// Texts as the transformer takes them, a row per token.
struct PackedTokens {
  Packing packing;
  std::vector<std::int32_t> ids;
  std::vector<std::int32_t> types;  ///< token types
};

/// REQUIRES: no input is empty.
PackedTokens pack_tokens(std::span<const EncoderInput> inputs);

}  // namespace ml_worker
