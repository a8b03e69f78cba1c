#include "tokenizer/bpe.h"

#include <catch2/catch.hpp>
#include <chrono>

#include "tokenizer/stage_text.h"

using namespace ml_worker;
using namespace ml_worker::testing;
using Catch::Matchers::Contains;
using Ids = std::vector<std::int32_t>;

namespace {

const VocabularyEntries kVocabulary = {{U"a", 0},  {U"b", 1},   {U"c", 2},  {U"\u0120", 3},
                                       {U"ab", 4}, {U"abc", 5}, {U"bc", 6}, {U"\u0120a", 7},
                                       {U"?", 8},  {U"aa", 9}};
const MergeRules kMerges = {
    {U"b", U"c"}, {U"a", U"b"}, {U"a", U"bc"}, {U"\u0120", U"a"}, {U"a", U"a"}};

}  // namespace

TEST_CASE("the first rule goes first, leftmost before others") {
  const Bpe model(kVocabulary, kMerges, {});
  CHECK(ids_of_word(model, U"abc") == Ids{5});
  CHECK(ids_of_word(model, U"ab") == Ids{4});
  CHECK(ids_of_word(model, U" abc") == Ids{3, 5});
  CHECK(ids_of_word(model, U" a") == Ids{7});
  CHECK(ids_of_word(model, U"aaa") == Ids{9, 0});
  CHECK(ids_of_word(model, U"aaaa") == Ids{9, 9});
  CHECK(ids_of_word(model, U"").empty());
  CHECK(model.vocabulary_size() == 10);
  CHECK(model.id_of(U"\u0120a") == 7);
  CHECK(model.id_of(U" a") == -1);
}

TEST_CASE("bytes without a token are left out or unknown") {
  CHECK(ids_of_word(Bpe(kVocabulary, kMerges, {}), U"axyb") == Ids{4});
  BpeOptions options;
  options.unknown_token = U"?";
  CHECK(ids_of_word(Bpe(kVocabulary, kMerges, options), U"axyb") == Ids{0, 8, 8, 1});
  options.fuse_unknown = true;
  CHECK(ids_of_word(Bpe(kVocabulary, kMerges, options), U"axybz") == Ids{0, 8, 1, 8});
}

TEST_CASE("a whole word goes before its merges where asked") {
  VocabularyEntries vocabulary = kVocabulary;
  vocabulary.emplace_back(U"cab", 10);
  BpeOptions options;
  CHECK(ids_of_word(Bpe(vocabulary, kMerges, options), U"cab") == Ids{2, 4});
  options.ignore_merges = true;
  CHECK(ids_of_word(Bpe(vocabulary, kMerges, options), U"cab") == Ids{10});
}

TEST_CASE("rules about tokens that are not there are refused by name") {
  CHECK_THROWS_WITH(Bpe(kVocabulary, {{U"a", U"z"}}, {}), Contains("'z' is not in 'vocab'"));
  CHECK_THROWS_WITH(Bpe(kVocabulary, {{U"c", U"a"}}, {}), Contains("'ca' is not in 'vocab'"));
  BpeOptions options;
  options.unknown_token = U"<unk>";
  CHECK_THROWS_WITH(Bpe(kVocabulary, kMerges, options), Contains("unknown token"));
}

TEST_CASE("a word of a mebibyte does not take quadratic time") {
  const Bpe model(kVocabulary, kMerges, {});
  const auto start = std::chrono::steady_clock::now();
  CHECK(ids_of_word(model, std::u32string(std::size_t{1} << 20, U'a')).size() == std::size_t{1}
                                                                                     << 19);
  // Quadratic time would be hours; a sanitizer on a busy machine takes a few seconds.
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(30));
}
