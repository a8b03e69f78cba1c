// tokenizer.json of Hugging Face `tokenizers`: one factory per stage, one line per kind.
#pragma once

#include <optional>

#include "json/json_file.h"
#include "tokenizer/bert_normalizer.h"
#include "tokenizer/pipeline.h"

namespace ml_worker {

/// `tokenizer`: the content of tokenizer.json. Its own truncation and padding do not count: who
/// calls says how much is wanted. Throws StartupError(ExitCode::model) that names what is broken or
/// not supported.
PipelineParts parts_of_tokenizer_json(const JsonObject& tokenizer);

}  // namespace ml_worker
