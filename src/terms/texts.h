// The texts of a call: UTF-8 binaries and charlists, measured while they are decoded.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "ml_worker/terms.h"

namespace ml_worker::terms {

/// A charlist as UTF-8, or why it is none.
struct Charlist {
  std::string utf8;
  std::string problem;   ///< "a list with an atom in it" …; empty: none
  std::size_t over = 0;  ///< its length in bytes (at least) where it is over the limit, else 0
};

/// REQUIRES: a string, nil or list is next. Stops (anywhere inside) at the first problem.
Charlist read_charlist(Reader& reader, std::size_t max_bytes);

/// encode's first argument: a list of texts.
Result<std::vector<std::string>> read_texts(Reader& reader, const RequestLimits& limits);

/// predict's first argument.
struct PredictInput {
  std::vector<Input> inputs;
  bool single = false;  ///< one bare text or pair
};

/// A text, a pair `{A, B}` of texts, or a list of such.
Result<PredictInput> read_predict_input(Reader& reader, const RequestLimits& limits);

/// similarity's first two arguments: each a text or a list of texts. The limits are on both.
Result<std::pair<TextOrTexts, TextOrTexts>> read_similarity_sides(Reader& reader,
                                                                  const RequestLimits& limits);

}  // namespace ml_worker::terms
