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
  CHECK(request.texts == std::vector<std::string>{"text"});
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
  const std::vector<ValueList> arguments = {{}, {ValueList{}, "m"}, {ValueList{}, "m", ValueMap{}}};
  for (const std::string& function : service_functions()) {
    CAPTURE(function);
    CHECK(std::any_of(arguments.begin(), arguments.end(),
                      [&](const ValueList& list) { return !undefined(call(function, list)); }));
  }
  for (const char* function :
       {"encode", "predict", "tokenize", "info", "get_load", "health", "models", "metrics"}) {
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
