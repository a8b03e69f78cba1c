// From what a caller gives to what the encoder takes: prompts, pairs, token ids.
#pragma once

#include <string>
#include <vector>

#include "ml_worker/batching.h"
#include "ml_worker/encoder.h"
#include "ml_worker/error.h"
#include "ml_worker/service.h"

namespace ml_worker {

/// What stands before each text.
struct Prompt {
  std::string text;
  std::size_t unpooled = 0;  ///< its tokens, where the model's pooling leaves them out
};

/// The prompt named, else the model's default one. bad_argument, which names those that there are,
/// if there is no such prompt.
Result<Prompt> resolve_prompt(const EncodeOptions& options, const Encoder& model);

/// bad_argument if one of `inputs` is a pair and the model does not take pairs.
std::optional<Error> check_pairs(const std::vector<Input>& inputs, const Encoder& model);

/// Prompts go before a text, of a pair before the first one.
void prepend(const std::string& prompt, std::vector<Input>& inputs);

/// What of a cache key stands after the prefix. No two inputs have the same.
std::string key_of(const Input& input);

/// Cut to the model's limit.
Tokens tokenize(const Input& input, const Encoder& model, TruncationSide side);

QueuedInput queued(Tokens tokens, std::size_t unpooled);

}  // namespace ml_worker
