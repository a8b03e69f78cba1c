// What tokenize(Texts, Model) answers.
#pragma once

#include "ml_worker/service.h"
#include "service/models.h"

namespace ml_worker {

/// Per text its token ids as the model would get them: special tokens included, cut to its limit.
/// too_large with `tokens` where the ids would not fit into a sensible reply.
Result<Value> tokenize(const TokenizeRequest& request, const ModelTable& models);

}  // namespace ml_worker
