#include "tokenizer/stage_factory.h"

#include <catch2/catch.hpp>

#include "tokenizer/charsmap_bytes.h"
#include "tokenizer/further_tokenizers.h"
#include "tokenizer/stage_text.h"

using namespace ml_worker;
using namespace ml_worker::testing;
using Catch::Matchers::Contains;
using Words = std::vector<std::u32string>;

namespace {

std::unique_ptr<Normalizer> normalizer(const std::string& json) {
  return make_normalizer({{{"normalizer", nlohmann::json::parse(json)}}, "test"});
}

std::unique_ptr<PreTokenizer> pre_tokenizer(const std::string& json) {
  return make_pre_tokenizer({{{"pre_tokenizer", nlohmann::json::parse(json)}}, "test"});
}

}  // namespace

TEST_CASE("normalisers by name, alone and in sequence") {
  CHECK(normalized(*normalizer("null"), U" e\u0301 ") == U" e\u0301 ");
  CHECK(normalized(*normalizer(R"({"type": "NFC"})"), U"e\u0301") == U"\u00E9");
  CHECK(normalized(*normalizer(R"({"type": "Sequence", "normalizers": [
            {"type": "Strip", "strip_left": false, "strip_right": true},
            {"type": "NFKC"},
            {"type": "Lowercase"},
            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "_"}]})"),
                   U" \uFB01  X ") == U" fi_x");
  // The empty charsmap: no trie, no replacements.
  CHECK(normalized(*normalizer(R"({"type": "Precompiled", "precompiled_charsmap": "AAAAAA=="})"),
                   U"a") == U"a");
}

TEST_CASE("normalisers that are broken or not supported are refused by name") {
  CHECK_THROWS_WITH(normalizer(R"({"type": "StripAccents"})"), Contains("'StripAccents'"));
  CHECK_THROWS_WITH(normalizer(R"({"type": "Sequence", "normalizers": [{"type": "Nmt"}]})"),
                    Contains("normalizers[0]") && Contains("'Nmt'"));
  CHECK_THROWS_WITH(
      normalizer(R"({"type": "Replace", "pattern": {"String": "a"}, "content": "b"})"),
      Contains("pattern"));
  CHECK_THROWS_WITH(normalizer(R"({"type": "Precompiled", "precompiled_charsmap": "A"})"),
                    Contains("base64"));
  CHECK_THROWS_WITH(normalizer(R"({"type": "Precompiled", "precompiled_charsmap": "AAAA"})"),
                    Contains("charsmap"));
}

TEST_CASE("pre-tokenizers by name") {
  CHECK(words_of(*pre_tokenizer(R"({"type": "Metaspace", "replacement": "_",
                                    "prepend_scheme": "never", "split": true})"),
                 U"a b") == Words{U"a", U"_b"});
  CHECK(words_of(*pre_tokenizer(R"({"type": "Sequence", "pretokenizers": [
                     {"type": "WhitespaceSplit"}, {"type": "Metaspace", "replacement": "_"}]})"),
                 U"a\tb") == Words{U"_a", U"_b"});
  CHECK(words_of(*pre_tokenizer(R"({"type": "ByteLevel", "add_prefix_space": true})"), U"a!") ==
        Words{U" a", U"!"});
}

TEST_CASE("pre-tokenizers that are not supported are refused by name") {
  CHECK_THROWS_WITH(pre_tokenizer("null"), Contains("without a pre_tokenizer"));
  CHECK_THROWS_WITH(pre_tokenizer(R"({"type": "Digits"})"), Contains("'Digits'"));
  CHECK_THROWS_WITH(pre_tokenizer(R"({"type": "ByteLevel", "use_regex": false})"),
                    Contains("use_regex"));
  CHECK_THROWS_WITH(pre_tokenizer(R"({"type": "Metaspace", "prepend_scheme": "first"})"),
                    Contains("'first'"));
  CHECK_THROWS_WITH(pre_tokenizer(R"({"type": "Metaspace", "replacement": "ab"})"),
                    Contains("one character"));
  CHECK_THROWS_WITH(pre_tokenizer(R"({"type": "Sequence", "pretokenizers": []})"),
                    Contains("not supported") || Contains("without"));
  CHECK_THROWS_WITH(pre_tokenizer(R"({"type": "Sequence", "pretokenizers": [
                        {"type": "WhitespaceSplit"}, {"type": "ByteLevel"}]})"),
                    Contains("'ByteLevel' after WhitespaceSplit"));
  CHECK_THROWS_WITH(pre_tokenizer(R"({"type": "Sequence", "pretokenizers": [
                        {"type": "ByteLevel"}, {"type": "ByteLevel"}]})"),
                    Contains("sequence of pre-tokenizers"));
}
