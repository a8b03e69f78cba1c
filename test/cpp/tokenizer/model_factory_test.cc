#include "tokenizer/model_factory.h"

#include <catch2/catch.hpp>

#include "tokenizer/further_tokenizers.h"

using namespace ml_worker;
using namespace ml_worker::testing;
using Catch::Matchers::Contains;

TEST_CASE("Unigram from tokenizer.json") {
  const auto tokenizer = load(unigram_json());
  CHECK(ids_of(*tokenizer, "hello ab \u4E2D") == Ids{0, 5, 7, 8, 4, 3, 2});
  CHECK(ids_of(*tokenizer, "a <mask>b</s>") == Ids{0, 7, 9, 4, 8, 2, 2});
  CHECK(ids_of(*tokenizer, "") == Ids{0, 2});
  CHECK(tokenizer->vocabulary_size() == 10);
}

TEST_CASE("byte-level BPE from tokenizer.json, both forms of rules") {
  const auto tokenizer = load(bpe_json());
  CHECK(ids_of(*tokenizer, "ab ab\u00E9") == Ids{0, 7, 8, 11, 2});
  CHECK(ids_of(*tokenizer, "ab  <mask> ab") == Ids{0, 7, 12, 8, 2});
}

TEST_CASE("both cut on either side, special tokens kept") {
  for (const auto& json : {unigram_json(), bpe_json()}) {
    const auto tokenizer = load(json);
    std::string text;
    for (int i = 0; i < 5000; ++i) text += "ab ";
    const Ids right = ids_of(*tokenizer, text, 6);
    const Ids left = ids_of(*tokenizer, text, 6, TruncationSide::left);
    CHECK(right.size() == 6);
    CHECK(right.front() == 0);
    CHECK(right.back() == 2);
    CHECK(left.size() == 6);
    CHECK(left.front() == 0);
    CHECK(left.back() == 2);
    CHECK(tokenizer->encode(text, 6, TruncationSide::right).given_is_lower_bound);
    CHECK_FALSE(tokenizer->encode(text, 6, TruncationSide::left).given_is_lower_bound);
    // What is cut off anyway is not tokenized: a few chunks at most.
    CHECK(tokenizer->encode(text, 6, TruncationSide::right).given < 4000);
    // And in pieces the ids are those of the whole.
    const Ids whole = ids_of(*tokenizer, text, SIZE_MAX);
    CHECK(std::equal(right.begin(), right.end() - 1, whole.begin()));
    CHECK(std::equal(left.begin() + 1, left.end(), whole.end() - 5));
  }
}

TEST_CASE("options of a model that are not supported are refused by name") {
  auto bpe = bpe_json();
  auto unigram = unigram_json();
  SECTION("dropout") {
    bpe["model"]["dropout"] = 0.1;
    CHECK_THAT(refusal(bpe), Contains("'dropout' is not supported"));
  }
  SECTION("byte fallback") {
    bpe["model"]["byte_fallback"] = true;
    unigram["model"]["byte_fallback"] = true;
    CHECK_THAT(refusal(bpe), Contains("'byte_fallback' is not supported"));
    CHECK_THAT(refusal(unigram), Contains("'byte_fallback' is not supported"));
  }
  SECTION("suffix") {
    bpe["model"]["end_of_word_suffix"] = "</w>";
    CHECK_THAT(refusal(bpe), Contains("'end_of_word_suffix' is not supported"));
  }
  SECTION("BPE that is not byte-level") {
    bpe["pre_tokenizer"] = unigram["pre_tokenizer"];
    CHECK_THAT(refusal(bpe), Contains("BPE after pre_tokenizer Sequence"));
  }
  SECTION("no unknown piece") {
    unigram["model"]["unk_id"] = nullptr;
    CHECK_THAT(refusal(unigram), Contains("'unk_id' is missing"));
  }
}

TEST_CASE("broken models are refused") {
  auto bpe = bpe_json();
  auto unigram = unigram_json();
  SECTION("merges") {
    for (const auto& merge : {nlohmann::json("ab"), nlohmann::json("a b c"), nlohmann::json(1),
                              nlohmann::json::array({"a"}), nlohmann::json::array({"a", 1})}) {
      bpe["model"]["merges"] = nlohmann::json::array({merge});
      CHECK_THAT(refusal(bpe), Contains("merges[0]"));
    }
    bpe["model"]["merges"] = "a b";
    CHECK_THAT(refusal(bpe), Contains("'merges': expected an array"));
    bpe["model"]["merges"] = nlohmann::json::array({"a <pad>"});
    CHECK_THAT(refusal(bpe), Contains("'a<pad>' is not in 'vocab'"));
  }
  SECTION("pieces") {
    for (const auto& piece : {nlohmann::json("a"), nlohmann::json::array({"a"}),
                              nlohmann::json::array({1, "a"}), nlohmann::json::array({"c", "1"})}) {
      unigram["model"]["vocab"][8] = piece;
      CHECK_THAT(refusal(unigram), Contains("vocab[8]"));
    }
    unigram["model"]["vocab"][8] = nlohmann::json::array({"a", -1.0});
    CHECK_THAT(refusal(unigram), Contains("a is already defined"));
    unigram["model"]["vocab"] = nlohmann::json::object();
    CHECK_THAT(refusal(unigram), Contains("'vocab': expected an array"));
  }
  SECTION("the unknown piece") {
    unigram["model"]["unk_id"] = 10;
    CHECK_THAT(refusal(unigram), Contains("unk_id"));
  }
}

TEST_CASE("merges.txt is read line by line") {
  CHECK(parse_merge_lines("#version: 0.2\na b\r\n\n# #\n", "x") ==
        MergeRules{{U"a", U"b"}, {U"#", U"#"}});
  CHECK_THROWS_WITH(parse_merge_lines("a b\nab\n", "merges.txt"), Contains("merges.txt: line 2"));
}
