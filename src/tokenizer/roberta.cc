#include "tokenizer/roberta.h"

#include <algorithm>
#include <array>
#include <stdexcept>
#include <utility>

#include "ml_worker/startup_error.h"
#include "tokenizer/bert_pre_tokenizer.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/charsmap.h"
#include "tokenizer/metaspace.h"
#include "tokenizer/model_factory.h"
#include "tokenizer/sentencepiece_model.h"
#include "tokenizer/stage_factory.h"
#include "tokenizer/text_normalizers.h"
#include "tokenizer/tokenizer_config.h"
#include "tokenizer/unicode.h"
#include "tokenizer/vocabulary.h"

namespace ml_worker {
namespace {

namespace fs = std::filesystem;

/// In the order in which `transformers` adds those that the vocabulary does not have.
constexpr std::array<std::pair<const char*, const char*>, 7> kSpecialTokens = {
    {{"bos_token", "<s>"},
     {"eos_token", "</s>"},
     {"unk_token", "<unk>"},
     {"sep_token", "</s>"},
     {"pad_token", "<pad>"},
     {"cls_token", "<s>"},
     {"mask_token", "<mask>"}}};

std::string special_text(const JsonObject& config, std::string_view key) {
  if (key == "unk_token" && is_mpnet_class(config)) {
    return special_token(config, "unk_token", "[UNK]");
  }
  const auto* const found = std::find_if(kSpecialTokens.begin(), kSpecialTokens.end(),
                                         [key](const auto& token) { return token.first == key; });
  return special_token(config, std::string(key), found->second);
}

bool has_class(const JsonObject& config, const std::string& name) {
  const std::string given = config.text("tokenizer_class", "");
  return given == name || given == name + "Fast";
}

AddedToken read_special(const JsonObject& config, const std::string& key) {
  if (config.has(key) && config.json()[key].is_object()) {
    return read_added_token(config.object(key));
  }
  AddedToken token;
  token.content = unicode::decode(special_text(config, key));
  token.normalized = is_mpnet_class(config);
  token.lstrip = is_mpnet_class(config) && key == "mask_token";
  return token;
}

std::vector<AddedToken> special_tokens(const JsonObject& config, const SubwordModel& model) {
  std::vector<AddedToken> tokens;
  auto next_id = static_cast<std::int32_t>(model.vocabulary_size());
  for (const auto& entry : kSpecialTokens) {
    AddedToken token = read_special(config, entry.first);
    const bool is_known = std::any_of(tokens.begin(), tokens.end(), [&](const AddedToken& other) {
      return other.content == token.content;
    });
    if (is_known || token.content.empty()) continue;
    token.id = model.id_of(token.content);
    if (token.id < 0) token.id = next_id++;
    tokens.push_back(std::move(token));
  }
  return tokens;
}

std::int32_t id_of_special(const JsonObject& config, const std::string& key,
                           const PipelineParts& parts) {
  const std::string text = special_text(config, key);
  const std::u32string content = unicode::decode(text);
  for (const AddedToken& token : parts.added_tokens) {
    if (token.content == content) return token.id;
  }
  const std::int32_t id = parts.model->id_of(content);
  if (id < 0) config.fail("'" + key + "': '" + text + "' is not in the vocabulary");
  return id;
}

/// One text and two texts between `first` and `last`.
void set_templates(const JsonObject& config, const char* first, const char* last,
                   PipelineParts& parts) {
  const std::int32_t bos = id_of_special(config, first, parts);
  const std::int32_t eos = id_of_special(config, last, parts);
  parts.sequence_template = {{bos}, {eos}};
  parts.pair_template = roberta_pair(bos, eos);
}

std::unique_ptr<PreTokenizer> metaspace_of(const JsonObject& config) {
  MetaspaceOptions options;
  options.prepend = config.flag("add_prefix_space", true);
  return std::make_unique<MetaspacePreTokenizer>(options);
}

std::unique_ptr<Normalizer> normalizer_of(const std::string& charsmap) {
  std::vector<std::unique_ptr<Normalizer>> normalizers;
  if (!charsmap.empty()) normalizers.push_back(std::make_unique<CharsmapNormalizer>(charsmap));
  return std::make_unique<NormalizerSequence>(std::move(normalizers));
}

/// <s>, <pad>, </s>, <unk>, the model's pieces after its own three special ones, <mask>.
std::vector<UnigramPiece> fairseq_pieces(std::vector<UnigramPiece> pieces,
                                         const JsonObject& config) {
  if (pieces.size() < 3) throw std::invalid_argument("SentencePiece model: fewer than 3 pieces");
  std::vector<UnigramPiece> result;
  result.reserve(pieces.size() + 2);
  for (const char* key : {"bos_token", "pad_token", "eos_token", "unk_token"}) {
    result.push_back({special_text(config, key), 0.0});
  }
  std::move(pieces.begin() + 3, pieces.end(), std::back_inserter(result));
  result.push_back({special_text(config, "mask_token"), 0.0});
  return result;
}

PipelineParts parts_of_sentencepiece(std::string_view bytes, const JsonObject& config) {
  constexpr std::size_t kUnknownId = 3;
  SentencePieceModel model = read_sentencepiece_model(bytes);
  PipelineParts parts;
  parts.model =
      std::make_unique<Unigram>(fairseq_pieces(std::move(model.pieces), config), kUnknownId);
  parts.normalizer = normalizer_of(model.charsmap);
  return parts;
}

}  // namespace

bool is_roberta_class(const JsonObject& config) { return has_class(config, "RobertaTokenizer"); }

bool is_xlm_roberta_class(const JsonObject& config) {
  return has_class(config, "XLMRobertaTokenizer");
}

bool is_mpnet_class(const JsonObject& config) { return has_class(config, "MPNetTokenizer"); }

void apply_roberta_class(const JsonObject& config, PipelineParts& parts) {
  parts.normalizer = normalizer_of("");
  parts.pre_tokenizer =
      std::make_unique<ByteLevelPreTokenizer>(config.flag("add_prefix_space", false));
  parts.trims_blanks = config.flag("trim_offsets", true);
  parts.keeps_first_blank = config.flag("add_prefix_space", false);
  set_templates(config, "cls_token", "sep_token", parts);
}

void apply_xlm_roberta_class(const JsonObject& config, const JsonObject& tokenizer,
                             PipelineParts& parts) {
  parts.normalizer = make_charsmap_only(tokenizer);
  parts.pre_tokenizer = metaspace_of(config);
  set_templates(config, "bos_token", "eos_token", parts);
}

void apply_mpnet_class(const JsonObject& config, PipelineParts& parts) {
  parts.normalizer = bert_normalizer_of(config);
  parts.pre_tokenizer = std::make_unique<BertPreTokenizer>();
  set_templates(config, "cls_token", "sep_token", parts);
}

PipelineParts mpnet_parts(const fs::path& directory, const JsonObject& config) {
  const fs::path path = directory / "vocab.txt";
  WordPieceOptions options;
  options.unknown_token = unicode::decode(special_text(config, "unk_token"));
  PipelineParts parts;
  try {
    parts.model = std::make_unique<WordPiece>(
        parse_vocabulary_lines(read_file(path, kMaxTokenizerBytes)), std::move(options));
  } catch (const std::invalid_argument& error) {
    throw StartupError(ExitCode::model, path.string() + ": " + error.what());
  }
  parts.added_tokens = special_tokens(config, *parts.model);
  apply_mpnet_class(config, parts);
  return parts;
}

PipelineParts roberta_parts(const fs::path& directory, const JsonObject& config) {
  const fs::path vocabulary = directory / "vocab.json";
  const fs::path rules = directory / "merges.txt";
  const MergeRules merges = parse_merge_lines(read_file(rules, kMaxTokenizerBytes), rules.string());
  PipelineParts parts;
  try {
    parts.model = std::make_unique<Bpe>(
        read_vocabulary_object(read_json_object(vocabulary, kMaxTokenizerBytes)), merges,
        BpeOptions{});
  } catch (const std::invalid_argument& error) {
    throw StartupError(ExitCode::model, rules.string() + ": " + error.what());
  }
  parts.added_tokens = special_tokens(config, *parts.model);
  apply_roberta_class(config, parts);
  return parts;
}

PipelineParts xlm_roberta_parts(const fs::path& directory, const JsonObject& config) {
  const fs::path path = directory / "sentencepiece.bpe.model";
  PipelineParts parts;
  try {
    parts = parts_of_sentencepiece(read_file(path, kMaxTokenizerBytes), config);
  } catch (const std::invalid_argument& error) {
    throw StartupError(ExitCode::model, path.string() + ": " + error.what());
  }
  parts.added_tokens = special_tokens(config, *parts.model);
  parts.pre_tokenizer = metaspace_of(config);
  set_templates(config, "bos_token", "eos_token", parts);
  return parts;
}

}  // namespace ml_worker
