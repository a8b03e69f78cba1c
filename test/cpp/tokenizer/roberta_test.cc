#include "tokenizer/roberta.h"

#include <catch2/catch.hpp>

#include "tokenizer/further_tokenizers.h"

using namespace ml_worker;
using namespace ml_worker::testing;
using Catch::Matchers::Contains;

namespace {

std::string config(const std::string& name, const std::string& more = "") {
  return R"({"tokenizer_class": ")" + name + "\"" + more + "}";
}

/// A ModelProto's piece: text and score -3.
std::string piece(const std::string& text) {
  const auto with_length = [](char key, const std::string& bytes) {
    return std::string{key, static_cast<char>(bytes.size())} + bytes;
  };
  return with_length('\x0A', with_length('\x0A', text) + std::string("\x15\x00\x00\x40\xC0", 5));
}

std::string sentencepiece_bytes() {
  return piece("<unk>") + piece("<s>") + piece("</s>") + piece("\u2581") + piece("\u2581a");
}

}  // namespace

TEST_CASE("RobertaTokenizer takes the prefix blank from its configuration") {
  CHECK(ids_of(*load(bpe_json(), config("RobertaTokenizer")), "ab") == Ids{0, 7, 2});
  CHECK(ids_of(*load(bpe_json(), config("RobertaTokenizerFast", R"(, "add_prefix_space": true)")),
               "ab") == Ids{0, 8, 2});
  auto json = bpe_json();
  json["pre_tokenizer"]["add_prefix_space"] = true;
  CHECK(ids_of(*load(json, config("RobertaTokenizer")), "ab") == Ids{0, 7, 2});
  CHECK(ids_of(*load(json, config("PreTrainedTokenizerFast")), "ab") == Ids{0, 8, 2});
}

TEST_CASE("XLMRobertaTokenizer keeps only the charsmap of the normalisers") {
  auto json = unigram_json();
  json["pre_tokenizer"] = {
      {"type", "Metaspace"}, {"replacement", "\u2581"}, {"prepend_scheme", "never"}};
  json["normalizer"] = {{"type", "NFC"}};
  CHECK(ids_of(*load(json, config("XLMRobertaTokenizer")), "a\ta") == Ids{0, 7, 7, 2});
  CHECK(ids_of(*load(json, config("PreTrainedTokenizerFast")), "a\ta") == Ids{0, 6, 3, 6, 2});
}

TEST_CASE("vocab.json and merges.txt are enough for RoBERTa") {
  const TemporaryDirectory directory;
  directory.write("vocab.json", R"({"<s>": 0, "<pad>": 1, "</s>": 2, "a": 3, "b": 4, "ab": 5})");
  directory.write("merges.txt", "#version: 0.2\na b\n");
  directory.write("tokenizer_config.json", config("RobertaTokenizer"));
  const auto tokenizer = load_tokenizer(directory.path());
  // <unk> and <mask> are not in the vocabulary and come after it.
  CHECK(ids_of(*tokenizer, "ab<mask>a<unk>") == Ids{0, 5, 7, 3, 6, 2});
  CHECK(tokenizer->vocabulary_size() == 8);
  directory.write("merges.txt", "a c\n");
  CHECK_THROWS_WITH(load_tokenizer(directory.path()), Contains("'c' is not in 'vocab'"));
  directory.write("tokenizer_config.json", config("GPT2Tokenizer"));
  CHECK_THROWS_WITH(load_tokenizer(directory.path()), Contains("'GPT2Tokenizer' is not supported"));
}

TEST_CASE("sentencepiece.bpe.model is enough for XLM-R, ids as fairseq has them") {
  const TemporaryDirectory directory;
  directory.write("sentencepiece.bpe.model", sentencepiece_bytes());
  const auto tokenizer = load_tokenizer(directory.path());
  CHECK(ids_of(*tokenizer, "a \u4E2D<mask>") == Ids{0, 5, 4, 3, 6, 2});
  directory.write("sentencepiece.bpe.model", sentencepiece_bytes().substr(0, 30));
  CHECK_THROWS_WITH(load_tokenizer(directory.path()), Contains("sentencepiece.bpe.model"));
  directory.write("sentencepiece.bpe.model", "");
  CHECK_THROWS_WITH(load_tokenizer(directory.path()), Contains("fewer than 3 pieces"));
}

TEST_CASE("MPNetTokenizer takes case from its configuration") {
  const TemporaryDirectory directory;
  directory.write("vocab.txt", "<s>\n<pad>\n</s>\n[UNK]\na\nA\n<mask>\n");
  directory.write("tokenizer_config.json", config("MPNetTokenizer", R"(, "do_lower_case": false)"));
  CHECK(ids_of(*load_tokenizer(directory.path()), "a A x <mask>") == Ids{0, 4, 5, 3, 6, 2});
  directory.write("tokenizer_config.json", config("MPNetTokenizer"));
  CHECK(ids_of(*load_tokenizer(directory.path()), "a A <S>") == Ids{0, 4, 4, 0, 2});
}

TEST_CASE("without a class config.json decides") {
  const TemporaryDirectory directory;
  auto json = bpe_json();
  json["pre_tokenizer"]["add_prefix_space"] = true;
  directory.write("tokenizer.json", json.dump());
  directory.write("config.json", R"({"model_type": "roberta"})");
  CHECK(ids_of(*load_tokenizer(directory.path()), "ab") == Ids{0, 7, 2});
  directory.write("config.json", R"({"model_type": "modernbert"})");
  CHECK(ids_of(*load_tokenizer(directory.path()), "ab") == Ids{0, 8, 2});
}
