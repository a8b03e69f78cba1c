// similarity, embed_tokens, prompts, pairs: what a model can do besides a text's vector.
#include <cmath>
#include <map>

#include "service/service_fixture.h"
#include "support/vectors.h"

using namespace ml_worker;  // NOLINT(google-build-using-namespace)
using ml_worker::testing::cosine;
using namespace ml_worker::test;  // NOLINT(google-build-using-namespace)

namespace {

EncodeOptions with_prompt(const std::string& name) {
  EncodeOptions options;
  options.prompt = name;
  return options;
}

std::string what_of(const Answer& answer) {
  if (!answer.error || answer.error->kind != ErrorKind::bad_argument) return "no bad_argument";
  const auto& reason = std::get<ValueTuple>(answer.error->reason.storage());
  return std::get<Atom>(reason.elements.at(1).storage()).name + ": " +
         std::get<std::string>(reason.elements.at(2).storage());
}

/// Whose second model gives scores to texts and pairs. So before the service starts: its threads
/// read what a model says of itself.
struct ClassifierFixture : ServiceFixture {
  explicit ClassifierFixture(std::size_t labels) {
    auto& description = second->change_description();
    description.task = ModelTask::classification;
    description.dimensions = labels;
    description.token_dimensions = 0;
  }
};

using Prompts = std::map<std::string, std::string>;

/// The same of the first model's prompts.
struct PromptFixture : ServiceFixture {
  explicit PromptFixture(Prompts prompts, std::string by_default = "") {
    auto& description = encoder->change_description();
    description.prompts = std::move(prompts);
    description.default_prompt = std::move(by_default);
  }
};

}  // namespace

TEST_CASE("similarity: a number for two texts, a list for a text and a list, rows for two lists") {
  ServiceFixture f;
  const Answer vectors = f.encode({"a", "b c", "d"});
  const auto expected = [&](std::size_t i, std::size_t j) {
    return Approx(cosine(vectors.vector(i), vectors.vector(j))).margin(1e-6);
  };
  const TextOrTexts one{{"a"}, true};
  const TextOrTexts two{{"b c", "d"}, false};

  const Answer number = f.ask(SimilarityRequest{one, {{"d"}, true}, "default", {}});
  REQUIRE(number.vectors);
  CHECK((number.single && number.vectors->scalars));
  CHECK(number.vector(0).at(0) == expected(0, 2));

  const Answer list = f.ask(SimilarityRequest{one, two, "default", {}});
  REQUIRE(list.vectors);
  CHECK((list.single && !list.vectors->scalars));
  CHECK(list.vector(0).at(0) == expected(0, 1));
  CHECK(list.vector(0).at(1) == expected(0, 2));

  const Answer turned = f.ask(SimilarityRequest{two, one, "default", {}});
  CHECK((!turned.single && turned.vectors->scalars));
  CHECK(turned.vector(1).at(0) == expected(2, 0));

  const Answer rows = f.ask(SimilarityRequest{two, two, "default", {}});
  CHECK((!rows.single && !rows.vectors->scalars));
  CHECK(rows.vector(1).at(1) == Approx(1.0));
  CHECK(rows.vector(0).at(1) == expected(1, 2));
}

TEST_CASE("similarity is bounded and for embedding models only") {
  ClassifierFixture f(2);
  const TextOrTexts many{Texts(3000, "a"), false};
  CHECK(f.ask(SimilarityRequest{many, many, "default", {}}).error ==
        errors::too_large("similarities", 9000000, 4000000));
  CHECK(f.ask(SimilarityRequest{{{"a"}, true}, {{"b"}, true}, "large", {}}).error->kind ==
        ErrorKind::bad_argument);
  CHECK(f.ask(EmbedTokensRequest{{"a"}, "large", {}}).error->kind == ErrorKind::bad_argument);
  CHECK(f.encode({"a"}, {}, "large").error->kind == ErrorKind::bad_argument);
}

TEST_CASE("embed_tokens gives a vector per token, in the order of the texts") {
  ServiceFixture f;
  const Answer answer = f.ask(EmbedTokensRequest{{"a b", ""}, "default", {}});
  REQUIRE(answer.tokens);
  REQUIRE(answer.tokens->dimensions == 8);
  REQUIRE(answer.tokens->texts.size() == 2);
  CHECK(answer.tokens->texts[0].size() == 4 * 8);
  CHECK(answer.tokens->texts[1].size() == 2 * 8);
  const std::int32_t id = FakeTokenizer::id_of("b");
  const std::vector<float> third(answer.tokens->texts[0].begin() + 16,
                                 answer.tokens->texts[0].begin() + 24);
  CHECK(third == FakeEncoder::raw_vector({&id, 1}, 8));
  CHECK(f.ask(EmbedTokensRequest{{}, "default", {}}).tokens->texts.empty());
}

TEST_CASE("what embed_tokens calls gather until they are answered is bounded") {
  ServiceOptions options;
  options.pending_bytes = 1000;
  ServiceFixture f(options);
  const Pending holder = f.hold_device();
  // 5 tokens of 8 numbers of 4 bytes, and 100 bytes of its message.
  const auto start = [&f] { return f.call(EmbedTokensRequest{{"a b c"}, "default", {}}); };
  std::vector<Pending> calls{start(), start(), start()};
  f.wait_until_queued(3);
  CHECK(start().wait().error->kind == ErrorKind::overloaded);
  f.encoder->open();
  for (const Pending& call : calls) CHECK(call.wait().tokens);
  ServiceFixture::wait_until([&] { return number(at(f.calls(), "pending")) == 0; });
  // An empty house takes a call of any size.
  CHECK(f.ask(EmbedTokensRequest{Texts(30, "a b c"), "default", {}}).tokens);
}

TEST_CASE("embed_tokens fails as encode does") {
  ServiceFixture f;
  f.encoder->not_finite_on("bad");
  CHECK(f.ask(EmbedTokensRequest{{"ok", "bad"}, "default", {}}).error ==
        errors::model_failed("all-MiniLM-L6-v2", "not finite"));
  EncodeOptions whole;
  whole.truncate = false;
  const std::string seventeen = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15";
  CHECK(f.ask(EmbedTokensRequest{{"a", seventeen}, "default", whole}).error ==
        errors::too_long(2, 17, false, 16));
  CHECK(f.ask(TokenizeRequest{{"a", seventeen}, "default", whole}).error ==
        errors::too_long(2, 17, false, 16));
}

TEST_CASE("a prompt stands before each text; the default one where none is named") {
  const auto vector = [](PromptFixture& f, const std::string& text, const EncodeOptions& options) {
    return f.encode({text}, options).vector(0);
  };
  PromptFixture named(Prompts{{"query", "find: "}, {"none_at_all", ""}});
  CHECK(vector(named, "a", with_prompt("query")) == vector(named, "find: a", {}));
  CHECK(vector(named, "a", with_prompt("none_at_all")) == vector(named, "a", {}));
  PromptFixture by_default(Prompts{{"query", "find: "}}, "find: ");
  CHECK(vector(by_default, "b", {}) == vector(by_default, "find: b", with_prompt("")));
  CHECK(vector(by_default, "b", with_prompt("")) != vector(by_default, "b", {}));
}

TEST_CASE("an unknown prompt is named together with those that there are") {
  ServiceFixture without;
  CHECK(what_of(without.encode({"a"}, with_prompt("query"))) ==
        "prompt: expected none (all-MiniLM-L6-v2 has no prompts), got query");
  PromptFixture two(Prompts{{"passage", "p: "}, {"query", "q: "}});
  CHECK(what_of(two.encode({"a"}, with_prompt("qery"))) ==
        "prompt: expected one of all-MiniLM-L6-v2's prompts passage, query, got qery");
}

TEST_CASE("a prompt that pooling leaves out makes another vector than its text does") {
  PromptFixture f(Prompts{{"query", "find this: "}});
  f.encoder->change_description().pools_prompt = false;
  f.encode({"a"}, with_prompt("query"));
  CHECK(f.encoder->last_unpooled == 3);  // the first special token and two words
  const auto computed = f.encoder->computed_texts.load();
  f.encode({"find this: a"});
  CHECK(f.encoder->last_unpooled == 0);
  CHECK(f.encoder->computed_texts == computed + 1);
}

TEST_CASE("scores of texts and pairs: numbers where there is one label, else vectors") {
  ClassifierFixture f(1);
  const auto predict = [&f](std::vector<Input> inputs, bool single) {
    return f.ask(PredictRequest{std::move(inputs), single, "large", {}});
  };
  const Answer pair = predict({{"a", "b"}}, true);
  REQUIRE(pair.vectors);
  CHECK((pair.single && pair.vectors->scalars));
  const auto ids = FakeTokenizer().encode_pair("a", "b", 16, TruncationSide::right).ids;
  CHECK(pair.vector(0) == FakeEncoder::raw_vector(ids, 1));
  CHECK(f.second->last_second_start == 3);
  const Answer mixed = predict({{"a", "b"}, {"a b"}, {"b", "a"}}, false);
  CHECK(mixed.vectors->vectors.size() == 3);
  CHECK(mixed.vectors->cached == 1);
  ClassifierFixture three(3);
  CHECK_FALSE(three.ask(PredictRequest{{{"c", "d"}}, false, "large", {}}).vectors->scalars);
}

TEST_CASE("scores are neither cut nor normalised, and embedding models take no pairs") {
  ClassifierFixture f(3);
  EncodeOptions options;
  options.dimensions = 2;
  CHECK(what_of(f.ask(PredictRequest{{{"a"}}, true, "large", options})).rfind("dimensions", 0) ==
        0);
  options = {};
  options.normalize = true;
  CHECK(what_of(f.ask(PredictRequest{{{"a"}}, true, "large", options})).rfind("normalize", 0) == 0);
  CHECK(what_of(f.ask(PredictRequest{{{"a"}, {"a", "b"}}, false, "default", {}})) ==
        "input: expected texts, got a pair at position 2: all-MiniLM-L6-v2 is no model for pairs");
}
