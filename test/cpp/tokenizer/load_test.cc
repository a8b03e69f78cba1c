#include <catch2/catch.hpp>

#include "tokenizer/small_tokenizer.h"

using namespace ml_worker;
using namespace ml_worker::testing;
using Catch::Matchers::Contains;

TEST_CASE("tokenizer.json's truncation and padding do not count") {
  const auto tokenizer = load(small_tokenizer_json());
  CHECK(ids_of(*tokenizer, "hello hello hello hello") == Ids{2, 9, 9, 9, 9, 3});
  CHECK(tokenizer->vocabulary_size() == 17);
}

TEST_CASE("what is not supported is refused by name") {
  auto json = small_tokenizer_json();
  SECTION("model") {
    json["model"]["type"] = "WordLevel";
    CHECK_THAT(refusal(json), Contains("model") && Contains("'WordLevel' is not supported"));
  }
  SECTION("normalizer") {
    json["normalizer"] = {{"type", "Nmt"}};
    CHECK_THAT(refusal(json), Contains("normalizer") && Contains("'Nmt' is not supported"));
  }
  SECTION("pre-tokenizer") {
    json["pre_tokenizer"]["type"] = "Whitespace";
    CHECK_THAT(refusal(json), Contains("'Whitespace' is not supported"));
  }
  SECTION("post-processor") {
    json["post_processor"]["type"] = "Split";
    CHECK_THAT(refusal(json), Contains("'Split' is not supported"));
  }
  SECTION("two sequences") {
    json["post_processor"]["single"].push_back({{"Sequence", {{"id", "B"}, {"type_id", 1}}}});
    CHECK_THAT(refusal(json), Contains("second sequence"));
  }
}

TEST_CASE("broken tokenizer.json is refused") {
  auto json = small_tokenizer_json();
  SECTION("not JSON") { CHECK_THAT(refusal(std::string("{")), Contains("not valid JSON")); }
  SECTION("not an object") {
    CHECK_THAT(refusal(std::string("[]")), Contains("expected an object"));
  }
  SECTION("too deep") {
    const std::string deep = std::string(100000, '[') + std::string(100000, ']');
    CHECK_THAT(refusal(deep), Contains("nested deeper"));
  }
  SECTION("an id twice") {
    json["model"]["vocab"]["hello"] = 5;
    CHECK_THAT(refusal(json), Contains("id 5 stands there twice"));
  }
  SECTION("a negative id") {
    json["model"]["vocab"]["hello"] = -1;
    CHECK_THAT(refusal(json), Contains("got -1"));
  }
  SECTION("a huge id") {
    json["model"]["vocab"]["hello"] = 18446744073709551615ULL;
    CHECK_THAT(refusal(json), Contains("expected an id"));
  }
  SECTION("no unknown token") {
    json["model"]["vocab"].erase("[UNK]");
    json["added_tokens"] = nlohmann::json::array();
    CHECK_THAT(refusal(json), Contains("unknown token"));
  }
  SECTION("an added token with another id") {
    json["added_tokens"][0]["id"] = 9;
    CHECK_THAT(refusal(json), Contains("does not agree"));
  }
  SECTION("an added token twice") {
    json["added_tokens"].push_back(json["added_tokens"][0]);
    CHECK_THAT(refusal(json), Contains("twice"));
  }
  SECTION("a template with an unknown id") {
    json["post_processor"]["special_tokens"]["[CLS]"]["ids"][0] = 99;
    CHECK_THAT(refusal(json), Contains("id 99 is not in the vocabulary"));
  }
  SECTION("a template with a negative id") {
    json["post_processor"]["special_tokens"]["[CLS]"]["ids"][0] = -2;
    CHECK_THAT(refusal(json), Contains("expected token ids"));
  }
  SECTION("a template without the text") {
    json["post_processor"]["single"].erase(1);
    CHECK_THAT(refusal(json), Contains("has no sequence"));
  }
}

TEST_CASE("every cut of a tokenizer.json is refused and none crashes") {
  const std::string whole = small_tokenizer_json().dump();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    INFO("cut to " << size);
    CHECK(refusal(whole.substr(0, size)) != "");
  }
}

TEST_CASE("a tokenizer of class BertTokenizer follows tokenizer_config.json") {
  const std::string config = R"({"tokenizer_class": "BertTokenizer", "do_lower_case": false})";
  CHECK(ids_of(*load(small_tokenizer_json(), config), "Hello hello") == Ids{2, 1, 9, 3});
  const std::string other = R"({"tokenizer_class": "Other", "do_lower_case": false})";
  CHECK(ids_of(*load(small_tokenizer_json(), other), "Hello hello") == Ids{2, 9, 9, 3});
}

TEST_CASE("added tokens of tokenizer_config.json are taken up") {
  const std::string config =
      R"({"added_tokens_decoder": {"17": {"content": "[X]", "special": true}}})";
  const auto tokenizer = load(small_tokenizer_json(), config);
  CHECK(ids_of(*tokenizer, "hello[X]") == Ids{2, 9, 17, 3});
  CHECK(tokenizer->vocabulary_size() == 18);
  CHECK_THAT(refusal(small_tokenizer_json(), R"({"added_tokens_decoder": {"x": {}}})"),
             Contains("expected token ids as keys"));
  CHECK_THAT(refusal(small_tokenizer_json(), R"({"additional_special_tokens": ["[Y]"]})"),
             Contains("[Y]"));
}

TEST_CASE("vocab.txt is read where there is no tokenizer.json") {
  const TemporaryDirectory directory;
  directory.write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\r\n[SEP]\nhello\n##s\n");
  const auto tokenizer = load_tokenizer(directory.path());
  CHECK(ids_of(*tokenizer, "Hellos [SEP]") == Ids{2, 4, 5, 3, 3});
  CHECK(tokenizer->vocabulary_size() == 6);
}

TEST_CASE("a directory without a vocabulary, or with half of one, is refused") {
  const TemporaryDirectory directory;
  CHECK_THROWS_WITH(load_tokenizer(directory.path()),
                    Contains("tokenizer.json") && Contains("vocab.txt"));
  directory.write("vocab.txt", "[UNK]\nhello\n");
  CHECK_THROWS_WITH(load_tokenizer(directory.path()), Contains("no token [CLS]"));
  directory.write("tokenizer_config.json", R"({"tokenizer_class": "ElectraTokenizer"})");
  CHECK_THROWS_WITH(load_tokenizer(directory.path()), Contains("'ElectraTokenizer'"));
}
