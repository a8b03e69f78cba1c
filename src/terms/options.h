// The options of encode and predict.
#pragma once

#include "ml_worker/terms.h"

namespace ml_worker::terms {

/// A map or a proplist (its first entry for a key counts). Keys and enumerated values are atoms or
/// binaries. Errors name the option: an unknown one too.
Result<EncodeOptions> read_options(Reader& reader);

}  // namespace ml_worker::terms
