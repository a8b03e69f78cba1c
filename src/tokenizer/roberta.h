// What the classes RobertaTokenizer, XLMRobertaTokenizer and MPNetTokenizer of `transformers` make
// of a directory: they take the vocabulary from a file and the rest from tokenizer_config.json.
#pragma once

#include <filesystem>

#include "json/json_file.h"
#include "tokenizer/pipeline.h"

namespace ml_worker {

// All throw StartupError(ExitCode::model) that names what is missing or broken. `config` is
// tokenizer_config.json.

bool is_roberta_class(const JsonObject& config);
bool is_xlm_roberta_class(const JsonObject& config);
bool is_mpnet_class(const JsonObject& config);

/// Replaces the stages that do not come from `tokenizer` (tokenizer.json), of which `parts` are.
void apply_roberta_class(const JsonObject& config, PipelineParts& parts);
void apply_xlm_roberta_class(const JsonObject& config, const JsonObject& tokenizer,
                             PipelineParts& parts);
void apply_mpnet_class(const JsonObject& config, PipelineParts& parts);

/// From vocab.json and merges.txt alone.
PipelineParts roberta_parts(const std::filesystem::path& directory, const JsonObject& config);
/// From sentencepiece.bpe.model alone. Ids as fairseq has them: <s> 0, <pad> 1, </s> 2, <unk> 3,
/// then those of the model plus one, <mask> last.
PipelineParts xlm_roberta_parts(const std::filesystem::path& directory, const JsonObject& config);
/// From vocab.txt alone.
PipelineParts mpnet_parts(const std::filesystem::path& directory, const JsonObject& config);

}  // namespace ml_worker
