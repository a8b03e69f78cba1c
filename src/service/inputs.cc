#include "service/inputs.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

namespace ml_worker {
namespace {

Error no_such_prompt(const std::string& name, const ModelDescription& model) {
  std::vector<std::string> names;
  for (const auto& prompt : model.prompts) names.push_back(prompt.first);
  const std::string expected =
      names.empty() ? fmt::format("none ({} has no prompts)", model.name)
                    : fmt::format("one of {}'s prompts {}", model.name, fmt::join(names, ", "));
  return errors::bad_argument("prompt", fmt::format("expected {}, got {}", expected, name));
}

/// As sentence-transformers counts them: the prompt by itself, its last special token left out.
std::size_t prompt_tokens(const std::string& prompt, const Encoder& model) {
  const ModelDescription& about = model.description();
  const Tokens tokens = model.tokenizer().encode(prompt, about.max_tokens, about.truncation_side);
  return tokens.ids.size() - (tokens.closing > 0 ? 1 : 0);
}

}  // namespace

Result<Prompt> resolve_prompt(const EncodeOptions& options, const Encoder& model) {
  const ModelDescription& about = model.description();
  Prompt prompt{about.default_prompt};
  if (options.prompt) {
    const auto named = about.prompts.find(*options.prompt);
    if (named == about.prompts.end() && !options.prompt->empty()) {
      return no_such_prompt(*options.prompt, about);
    }
    prompt.text = named == about.prompts.end() ? "" : named->second;
  }
  if (!prompt.text.empty() && !about.pools_prompt) {
    prompt.unpooled = prompt_tokens(prompt.text, model);
  }
  return prompt;
}

std::optional<Error> check_pairs(const std::vector<Input>& inputs, const Encoder& model) {
  const ModelDescription& about = model.description();
  const bool takes_pairs =
      about.task == ModelTask::classification && model.tokenizer().takes_pairs();
  const auto pair = std::find_if(inputs.begin(), inputs.end(),
                                 [](const Input& input) { return input.second.has_value(); });
  if (takes_pairs || pair == inputs.end()) return std::nullopt;
  return errors::bad_argument(
      "input", fmt::format("expected texts, got a pair at position {}: {} is no model for pairs",
                           pair - inputs.begin() + 1, about.name));
}

void prepend(const std::string& prompt, std::vector<Input>& inputs) {
  if (prompt.empty()) return;
  for (Input& input : inputs) input.text.insert(0, prompt);
}

std::string key_of(const Input& input) {
  if (!input.second) return "t" + input.text;
  return fmt::format("p{}:{}{}", input.text.size(), input.text, *input.second);
}

Tokens tokenize(const Input& input, const Encoder& model, TruncationSide side) {
  const std::size_t limit = model.description().max_tokens;
  const Tokenizer& tokenizer = model.tokenizer();
  return input.second ? tokenizer.encode_pair(input.text, *input.second, limit, side)
                      : tokenizer.encode(input.text, limit, side);
}

QueuedInput queued(Tokens tokens, std::size_t unpooled) {
  QueuedInput input;
  input.unpooled = std::min(unpooled, tokens.ids.size());
  input.second_start = tokens.second_start;
  input.ids = std::move(tokens.ids);
  return input;
}

}  // namespace ml_worker
