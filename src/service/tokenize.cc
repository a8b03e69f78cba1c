#include "service/tokenize.h"

#include <utility>

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

}  // namespace

Result<Value> tokenize_texts(std::vector<Input> inputs, const EncodeOptions& options,
                             const Encoder& model) {
  const ModelDescription& about = model.description();
  const auto prompt = resolve_prompt(options, model);
  if (!prompt) return prompt.error();
  prepend(prompt->text, inputs);
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
