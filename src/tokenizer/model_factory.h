// The subword models that a tokenizer.json can ask for.
#pragma once

#include <memory>

#include "json/json_file.h"
#include "tokenizer/bpe.h"
#include "tokenizer/components.h"
#include "tokenizer/unigram.h"

namespace ml_worker {

/// `stage`: the field `model`. Throws StartupError(ExitCode::model) that names what is broken or
/// not supported.
std::unique_ptr<SubwordModel> make_model(const JsonObject& stage);

/// Lines "left right" after an optional "#version" line. `where` names them in messages.
MergeRules parse_merge_lines(std::string_view text, const std::string& where);

}  // namespace ml_worker
