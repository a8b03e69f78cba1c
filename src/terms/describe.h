// Words for what a caller sent, for the "got …" of an error.
#pragma once

#include <string>

#include "ml_worker/terms.h"

namespace ml_worker::terms {

/// "an atom", "a list" …: texts are never echoed.
const char* describe(TermType type);

/// The same for an argument or option that is no text: numbers and atoms are shown.
/// REQUIRES: !reader.at_end()
std::string describe_value(Reader reader);

}  // namespace ml_worker::terms
