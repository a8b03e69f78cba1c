// The name of a model as a caller says it.
#pragma once

#include <string>

#include "ml_worker/terms.h"

namespace ml_worker::terms {

/// A binary, an atom or a charlist; the atoms none, nil and undefined mean "default". What is not
/// of the form `[ORG/]NAME`, each part `[A-Za-z0-9][A-Za-z0-9._-]{0,95}`, is `unknown_model`.
Result<std::string> read_model_name(Reader& reader);

/// An atom that says "as if nothing had been said": none, nil, undefined.
bool is_unset(std::string_view atom);

}  // namespace ml_worker::terms
