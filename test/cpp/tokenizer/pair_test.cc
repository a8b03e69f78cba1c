#include <catch2/catch.hpp>

#include "tokenizer/small_tokenizer.h"

using namespace ml_worker;           // NOLINT(google-build-using-namespace)
using namespace ml_worker::testing;  // NOLINT(google-build-using-namespace)

namespace {

nlohmann::json special(const char* token, int type) {
  return {{"SpecialToken", {{"id", token}, {"type_id", type}}}};
}
nlohmann::json sequence(const char* id, int type) {
  return {{"Sequence", {{"id", id}, {"type_id", type}}}};
}

nlohmann::json with_pair(const nlohmann::json& pair) {
  auto json = small_tokenizer_json();
  json["post_processor"]["pair"] = pair;
  return json;
}

nlohmann::json bert_like() {
  return with_pair({special("[CLS]", 0), sequence("A", 0), special("[SEP]", 0), sequence("B", 1),
                    special("[SEP]", 1)});
}

/// "x" n times: n tokens.
std::string words(std::size_t n) {
  std::string text;
  for (std::size_t i = 0; i < n; ++i) text += "x ";
  return text;
}

/// How many tokens of each text are kept, out of what stands round [SEP] (3).
std::pair<std::size_t, std::size_t> kept(const Tokens& tokens) {
  const auto first_sep = std::find(tokens.ids.begin(), tokens.ids.end(), 3);
  return {first_sep - tokens.ids.begin() - 1, tokens.ids.end() - first_sep - 2};
}

}  // namespace

TEST_CASE("two texts stand in the pair's template, the second one with type 1") {
  const auto tokenizer = load(bert_like());
  REQUIRE(tokenizer->takes_pairs());
  const Tokens tokens = tokenizer->encode_pair("hello", "x !", 100, TruncationSide::right);
  CHECK(tokens.ids == Ids{2, 9, 3, 15, 10, 3});
  CHECK(tokens.second_start == 3);
  CHECK(tokens.given == 6);
  CHECK(tokens.closing == 1);
}

TEST_CASE("RobertaProcessing puts two separators between texts of one type") {
  auto json = small_tokenizer_json();
  json["post_processor"] = {{"type", "RobertaProcessing"},
                            {"cls", {"[CLS]", 2}},
                            {"sep", {"[SEP]", 3}},
                            {"trim_offsets", true},
                            {"add_prefix_space", false}};
  const auto tokenizer = load(json);
  const Tokens tokens = tokenizer->encode_pair("hello", "x", 100, TruncationSide::right);
  CHECK(tokens.ids == Ids{2, 9, 3, 3, 15, 3});
  CHECK(tokens.second_start == 0);
}

TEST_CASE("token types that the class does not give to the model are all 0") {
  const auto types = [](const char* config) {
    return load(bert_like(), config)
        ->encode_pair("hello", "x", 100, TruncationSide::right)
        .second_start;
  };
  CHECK(types(R"({"model_input_names": ["input_ids", "attention_mask"]})") == 0);
  CHECK(types(R"({"tokenizer_class": "DistilBertTokenizer"})") == 0);
  CHECK(types(R"({"tokenizer_class": "BertTokenizer"})") == 3);
}

TEST_CASE("what is over the limit is cut from the longer text, then from both") {
  const auto tokenizer = load(bert_like());
  const auto cut = [&](std::size_t first, std::size_t second, std::size_t limit) {
    const Tokens tokens =
        tokenizer->encode_pair(words(first), words(second), limit, TruncationSide::right);
    CHECK(tokens.ids.size() == std::min(limit, first + second + 3));
    return kept(tokens);
  };
  using Kept = std::pair<std::size_t, std::size_t>;
  CHECK(cut(3, 4, 10) == Kept{3, 4});
  CHECK(cut(3, 20, 13) == Kept{3, 7});
  CHECK(cut(20, 3, 13) == Kept{7, 3});
  CHECK(cut(20, 20, 13) == Kept{5, 5});
  CHECK(cut(20, 20, 14) == Kept{5, 6});
  CHECK(cut(30, 20, 14) == Kept{6, 5});
  CHECK(cut(20, 30, 14) == Kept{5, 6});
  CHECK(cut(0, 30, 14) == Kept{0, 11});
  CHECK(cut(30, 30, 3) == Kept{0, 0});
}

TEST_CASE("of pairs, too, text that is cut anyway is not tokenized to its end") {
  const auto tokenizer = load(bert_like());
  const Tokens cut = tokenizer->encode_pair(words(50000), "x", 13, TruncationSide::right);
  CHECK(cut.given_is_lower_bound);
  CHECK(cut.given < 10000);
  const Tokens left = tokenizer->encode_pair("hello x !", words(9), 9, TruncationSide::left);
  CHECK_FALSE(left.given_is_lower_bound);
  CHECK(left.given == 15);
  CHECK(left.ids == Ids{2, 9, 15, 10, 3, 15, 15, 15, 3});
}

TEST_CASE("a template that is no pair of this kind leaves a tokenizer for single texts") {
  const auto other = [](const nlohmann::json& pair) { return load(with_pair(pair)); };
  CHECK_FALSE(load(small_tokenizer_json())->takes_pairs());
  CHECK_FALSE(other({sequence("B", 0), sequence("A", 0)})->takes_pairs());
  CHECK_FALSE(other(nlohmann::json::array({sequence("A", 0)}))->takes_pairs());
  CHECK_FALSE(other({sequence("A", 0), sequence("B", 2)})->takes_pairs());
  CHECK_FALSE(other({sequence("A", 1), sequence("B", 0)})->takes_pairs());
  CHECK_FALSE(other({sequence("A", 0), sequence("B", 0), sequence("B", 0)})->takes_pairs());
  CHECK(ids_of(*other(nlohmann::json::array({sequence("A", 0)})), "x") == Ids{2, 15, 3});
}

TEST_CASE("without a post-processor two texts follow each other") {
  auto json = small_tokenizer_json();
  json.erase("post_processor");
  const Tokens tokens = load(json)->encode_pair("hello", "x", 100, TruncationSide::right);
  CHECK(tokens.ids == Ids{9, 15});
  CHECK(tokens.second_start == 1);
  CHECK(tokens.closing == 0);
}
