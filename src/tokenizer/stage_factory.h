// The normalisers and pre-tokenizers that a tokenizer.json can ask for.
#pragma once

#include <memory>

#include "json/json_file.h"
#include "tokenizer/components.h"

namespace ml_worker {

// Both throw StartupError(ExitCode::model) that names what is broken or not supported.

/// The field `normalizer`; none leaves the text as it is.
std::unique_ptr<Normalizer> make_normalizer(const JsonObject& tokenizer);

/// The field `pre_tokenizer`.
std::unique_ptr<PreTokenizer> make_pre_tokenizer(const JsonObject& tokenizer);

/// The Precompiled among the normalisers of `tokenizer` alone, as a sequence of at most one.
std::unique_ptr<Normalizer> make_charsmap_only(const JsonObject& tokenizer);

}  // namespace ml_worker
