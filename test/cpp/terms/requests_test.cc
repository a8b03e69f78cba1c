#include <algorithm>
#include <catch2/catch.hpp>

#include "terms/bytes.h"
#include "terms/errors.h"

namespace ml_worker::terms {
namespace {

using testing::bad_argument;
using testing::bytes;
using testing::Made;

Result<Request> parse(const std::string& function, const Made& arguments) {
  return parse_request(function, arguments.term(), {});
}

/// `[Argument, …]` of values.
Result<Request> call(const std::string& function, ValueList arguments) {
  return parse(function, Made([&](Writer& writer) { writer.value(Value(arguments)); }));
}

Result<Request> call_bytes(const std::string& function, const std::string& arguments) {
  return parse(function, Made(Bytes(arguments.begin(), arguments.end())));
}

bool undefined(const Result<Request>& result) {
  return !result && result.error() == errors::undef();
}

TEST_CASE("encode has texts, a model and options") {
  const auto two = call("encode", {ValueList{"a", "b"}, atom("large")});
  REQUIRE(two);
  const auto& request = std::get<EncodeRequest>(*two);
  CHECK(request.texts == std::vector<std::string>{"a", "b"});
  CHECK(request.model == "large");
  const auto three = call("encode", {ValueList{}, atom("none"), map({{"usage", true}})});
  REQUIRE(three);
  CHECK(std::get<EncodeRequest>(*three).texts.empty());
  CHECK(std::get<EncodeRequest>(*three).model == "default");
  CHECK(std::get<EncodeRequest>(*three).options.usage);
}

TEST_CASE("predict has an input, a model and options") {
  const auto one = call("predict", {"text", "m", ValueList{tuple({"format", "json"})}});
  REQUIRE(one);
  const auto& request = std::get<PredictRequest>(*one);
  CHECK(request.single);
  REQUIRE(request.inputs.size() == 1);
  CHECK(request.inputs.front().text == "text");
  CHECK(request.model == "m");
  CHECK(request.options.format == VectorFormat::json);
  const auto none = call("predict", {ValueList{}, "m"});
  REQUIRE(none);
  CHECK_FALSE(std::get<PredictRequest>(*none).single);
}

TEST_CASE("predict refuses what its bare vectors have no place for") {
  for (const char* name : {"usage", "timings", "fingerprint"}) {
    const auto result = call("predict", {"text", "m", map({{name, true}})});
    REQUIRE_FALSE(result);
    CHECK(testing::atom_part(result.error(), 1) == name);
    CHECK(call("predict", {"text", "m", map({{name, false}})}));
  }
}

TEST_CASE("similarity, embed_tokens and tokenize refuse options that mean nothing to them") {
  const auto refused = [](const std::string& function, ValueList arguments, const char* name,
                          const Value& value) {
    arguments.push_back(map({{name, value}}));
    const auto result = call(function, std::move(arguments));
    return !result && testing::atom_part(result.error(), 1) == name;
  };
  const ValueList texts = {ValueList{"a"}, "m"};
  for (const char* function : {"embed_tokens", "tokenize"}) {
    CHECK(refused(function, texts, "dimensions", 5));
    CHECK(refused(function, texts, "normalize", true));
    CHECK(refused(function, texts, "usage", true));
    CHECK(call(function, {ValueList{"a"}, "m", map({{"truncate", false}, {"prompt", "query"}})}));
  }
  CHECK(refused("tokenize", texts, "format", atom("json")));
  CHECK(refused("embed_tokens", texts, "pieces", true));
  CHECK(refused("encode", texts, "pieces", true));
  CHECK(refused("predict", texts, "pieces", true));
  CHECK(refused("similarity", {"a", "b", "m"}, "pieces", true));
  CHECK(call("encode", {ValueList{"a"}, "m", map({{"pieces", false}})}));
  CHECK(call("embed_tokens", {ValueList{"a"}, "m", map({{"format", atom("json")}})}));
  CHECK(refused("similarity", {"a", "b", "m"}, "format", atom("json")));
  CHECK(refused("similarity", {"a", "b", "m"}, "timings", true));
  CHECK(call("similarity", {"a", "b", "m", map({{"dimensions", 5}})}));
}

TEST_CASE("tokenize gives pieces, of which none is cut") {
  const auto pieces = [](std::vector<std::pair<std::string, Value>> also) {
    also.emplace_back("pieces", true);
    return call("tokenize", {ValueList{"a"}, "m", map(std::move(also))});
  };
  REQUIRE(pieces({}));
  CHECK(std::get<TokenizeRequest>(*pieces({})).options.pieces);
  CHECK(pieces({{"truncate", false}, {"prompt", "query"}}));
  const auto sided = pieces({{"truncation_side", atom("left")}});
  REQUIRE_FALSE(sided);
  CHECK(testing::atom_part(sided.error(), 1) == "truncation_side");
}

TEST_CASE("similarity has two sides, load_model and unload_model a name") {
  const auto result = call("similarity", {"a", ValueList{"b", "c"}, atom("none")});
  REQUIRE(result);
  const auto& request = std::get<SimilarityRequest>(*result);
  CHECK((request.a.single && !request.b.single));
  CHECK(request.b.texts == std::vector<std::string>{"b", "c"});
  CHECK(request.model == "default");
  CHECK(std::get<LoadModelRequest>(*call("load_model", {atom("large")})).model == "large");
  CHECK(std::get<UnloadModelRequest>(*call("unload_model", {"org/x"})).model == "org/x");
  CHECK(call("load_model", {"../x"}).error().kind == ErrorKind::unknown_model);
  CHECK(call("load_model", {5}).error().kind == ErrorKind::bad_argument);
}

TEST_CASE("the other functions are what they are called") {
  const auto tokenize = call("tokenize", {ValueList{"a"}, atom("nil")});
  REQUIRE(tokenize);
  CHECK(std::get<TokenizeRequest>(*tokenize).texts == std::vector<std::string>{"a"});
  CHECK(std::holds_alternative<InfoRequest>(*call("info", {})));
  CHECK(std::holds_alternative<GetLoadRequest>(*call("get_load", {})));
  CHECK(std::holds_alternative<HealthRequest>(*call("health", {})));
  CHECK(std::holds_alternative<ModelsRequest>(*call("models", {})));
  CHECK(std::holds_alternative<MetricsRequest>(*call("metrics", {})));
}

TEST_CASE("other names and other arities are undefined") {
  CHECK(undefined(call("nosuch", {})));
  CHECK(undefined(call("", {})));
  CHECK(undefined(call("encode", {ValueList{}})));
  CHECK(undefined(call("encode", {ValueList{}, "m", ValueList{}, 4})));
  CHECK(undefined(call("info", {1})));
  CHECK(undefined(call("info", {"one"})));
  CHECK(undefined(call_bytes("info", bytes({119, 1, "a"}))));
  CHECK(undefined(call_bytes("encode", bytes({108, 0, 0, 0, 2, 106, 119, 1, "m", 119, 1, "t"}))));
}

TEST_CASE("the first wrong argument is reported") {
  CHECK(bad_argument(call("encode", {5, 6}).error()) ==
        "texts: expected a list of texts, got an integer");
  CHECK(bad_argument(call("encode", {ValueList{}, 6.5}).error()) ==
        "model: expected a name (binary, atom or charlist), got a float");
  CHECK(call("encode", {ValueList{}, "../x"}).error().kind == ErrorKind::unknown_model);
  CHECK(bad_argument(call("encode", {ValueList{}, "m", 6.5}).error()) ==
        "opts: expected a map or a proplist, got a float");
}

TEST_CASE("arguments that are all bytes arrive as a string") {
  CHECK(bad_argument(call_bytes("encode", bytes({107, 0, 2, 1, 2})).error()) ==
        "texts: expected a list of texts, got an integer");
  CHECK(bad_argument(call_bytes("predict", bytes({107, 0, 2, 1, 2})).error()) ==
        "input: expected a text or a list of texts, got an integer");
  CHECK(undefined(call_bytes("encode", bytes({107, 0, 1, 1}))));
  CHECK(undefined(call_bytes("info", bytes({107, 0, 1, 1}))));
}

TEST_CASE("the functions and options that the service names are those that are parsed") {
  const std::vector<ValueList> arguments = {
      {}, {"m"}, {ValueList{}, "m"}, {ValueList{}, "m", ValueMap{}}};
  for (const std::string& function : service_functions()) {
    CAPTURE(function);
    CHECK(std::any_of(arguments.begin(), arguments.end(),
                      [&](const ValueList& list) { return !undefined(call(function, list)); }));
  }
  for (const char* function :
       {"encode", "predict", "similarity", "embed_tokens", "tokenize", "info", "get_load", "health",
        "models", "load_model", "unload_model", "metrics"}) {
    const auto& named = service_functions();
    CHECK(std::find(named.begin(), named.end(), function) != named.end());
  }
  for (const std::string& option : service_options()) {
    const auto result = call("encode", {ValueList{}, "m", map({{option, 1.5}})});
    REQUIRE_FALSE(result);
    CHECK(bad_argument(result.error()).find("one of the options") == std::string::npos);
  }
}

}  // namespace
}  // namespace ml_worker::terms
