// What a call's exception says of the call itself.
#pragma once

#include <cstddef>
#include <optional>

#include "ml_worker/distribution.h"

namespace ml_worker::distribution {

/// Elements of a proper list; nothing for anything else.
std::optional<std::size_t> list_length(terms::ScannedTerm term);

}  // namespace ml_worker::distribution
