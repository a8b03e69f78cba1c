// What tokenize(Texts, Model) answers.
#pragma once

#include "ml_worker/service.h"
#include "service/inputs.h"

namespace ml_worker {

/// Per text its token ids as the model would get them: special tokens included, cut to its limit;
/// with `pieces` a map per token of the whole text. too_large with `tokens` where the tokens would
/// not fit into a sensible reply.
Result<Value> tokenize_texts(std::vector<Input> inputs, const EncodeOptions& options,
                             const Encoder& model);

}  // namespace ml_worker
