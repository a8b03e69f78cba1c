#include "service/tokenize.h"

#include <utility>

#include "ml_worker/utf8.h"

namespace ml_worker {
namespace {

/// A Value per id: a bound on the memory of one reply.
constexpr std::size_t kMaxTokens = 4000000;

Value ids_value(const Tokens& tokens) {
  ValueList ids;
  ids.reserve(tokens.ids.size());
  for (const std::int32_t id : tokens.ids) ids.emplace_back(id);
  return ids;
}

/// A map per token: about half a kilobyte each.
constexpr std::size_t kMaxPieces = 250000;

Value piece_value(const Piece& piece, std::string_view text) {
  const bool special = piece.special.has_value();
  const auto shown = special ? std::string_view(*piece.special)
                             : text.substr(piece.begin, piece.end - piece.begin);
  const auto place = [special](std::size_t at) { return special ? atom("none") : Value(at); };
  return map({{"id", piece.id},
              {"text", displayable_utf8(shown, shown.size())},
              {"special", special},
              {"start", place(piece.begin)},
              {"stop", place(piece.end)}});
}

Result<Value> pieces_of_texts(const std::vector<Input>& inputs, bool cut_is_allowed,
                              const Encoder& model) {
  const std::size_t limit = model.description().max_tokens;
  ValueList texts;
  std::size_t total = 0;
  for (const Input& input : inputs) {
    const std::vector<Piece> pieces = model.tokenizer().pieces(input.text);
    if (!cut_is_allowed && pieces.size() > limit) {
      return errors::too_long(texts.size() + 1, pieces.size(), false, limit);
    }
    total += pieces.size();
    if (total > kMaxPieces) return errors::too_large("tokens", total, kMaxPieces);
    ValueList values;
    for (const Piece& piece : pieces) values.push_back(piece_value(piece, input.text));
    texts.emplace_back(std::move(values));
  }
  return Value(std::move(texts));
}

}  // namespace

Result<Value> tokenize_texts(std::vector<Input> inputs, const EncodeOptions& options,
                             const Encoder& model) {
  const ModelDescription& about = model.description();
  const auto prompt = resolve_prompt(options, model);
  if (!prompt) return prompt.error();
  prepend(prompt->text, inputs);
  if (options.pieces) return pieces_of_texts(inputs, options.truncate, model);
  const TruncationSide side = options.truncation_side.value_or(about.truncation_side);
  ValueList texts;
  std::size_t total = 0;
  for (const Input& input : inputs) {
    const Tokens tokens = tokenize(input, model, side);
    if (!options.truncate && tokens.given > about.max_tokens) {
      return errors::too_long(texts.size() + 1, tokens.given, tokens.given_is_lower_bound,
                              about.max_tokens);
    }
    total += tokens.ids.size();
    if (total > kMaxTokens) return errors::too_large("tokens", total, kMaxTokens);
    texts.push_back(ids_value(tokens));
  }
  return Value(std::move(texts));
}

}  // namespace ml_worker
