// tokenizer.json of the further kinds with a handful of tokens.
#pragma once

#include "tokenizer/small_tokenizer.h"

namespace ml_worker::testing {

inline nlohmann::json roberta_processing() {
  return {{"type", "RobertaProcessing"},
          {"sep", {"</s>", 2}},
          {"cls", {"<s>", 0}},
          {"trim_offsets", true},
          {"add_prefix_space", false}};
}

/// 0 <s>, 1 <pad>, 2 </s>, 3 <unk>, then pieces; <mask> last.
inline nlohmann::json unigram_json() {
  nlohmann::json json = nlohmann::json::parse(R"({
    "normalizer": null,
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
      {"type": "WhitespaceSplit"},
      {"type": "Metaspace", "replacement": "▁", "str_rep": "▁", "add_prefix_space": true}]},
    "model": {"type": "Unigram", "unk_id": 3, "vocab": [
      ["<s>", 0], ["<pad>", 0], ["</s>", 0], ["<unk>", 0], ["▁", -2], ["▁hello", -4.5], ["a", -3],
      ["▁a", -3.5], ["b", -3], ["<mask>", 0]]}})");
  json["post_processor"] = roberta_processing();
  json["added_tokens"] = {added_token(0, "<s>"), added_token(2, "</s>"), added_token(3, "<unk>"),
                          added_token(9, "<mask>")};
  json["added_tokens"][3]["lstrip"] = true;
  return json;
}

inline nlohmann::json bpe_json() {
  nlohmann::json json = nlohmann::json::parse(R"({
    "normalizer": null,
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true},
    "model": {"type": "BPE", "dropout": null, "unk_token": null,
              "continuing_subword_prefix": "", "end_of_word_suffix": "", "fuse_unk": false,
      "vocab": {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "a": 4, "b": 5, "Ġ": 6, "ab": 7,
                "Ġab": 8, "Ã": 9, "©": 10, "Ã©": 11, "<mask>": 12},
      "merges": ["a b", ["Ġ", "ab"], "Ã ©"]}})");
  json["post_processor"] = roberta_processing();
  json["added_tokens"] = {added_token(0, "<s>"), added_token(2, "</s>"), added_token(12, "<mask>")};
  json["added_tokens"][2]["lstrip"] = true;
  return json;
}

}  // namespace ml_worker::testing
