// The bounds on what one call may bring.
#pragma once

#include <optional>
#include <vector>

#include "ml_worker/error.h"
#include "ml_worker/service.h"

namespace ml_worker {

/// too_large with `texts` (count; a pair is one), `text` (bytes of one) or `call` (bytes of all).
std::optional<Error> check_limits(const std::vector<Input>& inputs, const RequestLimits& limits);

}  // namespace ml_worker
