#include "ml_worker/error.h"

#include <catch2/catch.hpp>

using namespace ml_worker;  // NOLINT(google-build-using-namespace)
using std::chrono::milliseconds;

TEST_CASE("reasons are those of the contract") {
  CHECK(errors::undef().reason == atom("undef"));
  CHECK(errors::bad_argument("texts", "expected a list, got 5").reason ==
        tuple({atom("bad_argument"), atom("texts"), "expected a list, got 5"}));
  CHECK(errors::unknown_model("x").reason == tuple({atom("unknown_model"), "x"}));
  CHECK(errors::model_failed("m", "not finite").reason ==
        tuple({atom("model_failed"), "m", "not finite"}));
  CHECK(errors::too_long(2, 900, false, 256).reason == tuple({atom("too_long"), 2, 900, 256}));
  CHECK(errors::too_long(1, 600, true, 256).reason ==
        tuple({atom("too_long"), 1, tuple({atom("at_least"), 600}), 256}));
  CHECK(errors::too_large("text", 5, 4).reason == tuple({atom("too_large"), atom("text"), 5, 4}));
  CHECK(errors::overloaded(milliseconds{25}).reason == tuple({atom("overloaded"), 25}));
  CHECK(errors::deadline_exceeded().reason == atom("deadline_exceeded"));
  CHECK(errors::unhealthy("device").reason == tuple({atom("unhealthy"), "device"}));
  CHECK(errors::draining().reason == atom("draining"));
}

TEST_CASE("a caller that is told to come back is never told to come back at once") {
  CHECK(errors::overloaded(milliseconds{0}).reason == tuple({atom("overloaded"), 1}));
  CHECK(errors::overloaded(milliseconds{-7}).reason == tuple({atom("overloaded"), 1}));
}

TEST_CASE("a name that a caller invented never becomes an atom") {
  const std::string name = GENERATE(as<std::string>{}, "frobnicate", "", "Ünknown", "text ");
  CHECK(errors::bad_argument(name, "w").reason == tuple({atom("bad_argument"), name, "w"}));
}

TEST_CASE("names and explanations are valid UTF-8, without NUL and bounded") {
  CHECK(errors::unknown_model("\xFFx").reason == tuple({atom("unknown_model"), "\xEF\xBF\xBDx"}));
  const Error error = errors::bad_argument(std::string(1 << 20, 'n'), std::string(1 << 20, 'w'));
  const auto& elements = std::get<ValueTuple>(error.reason.storage()).elements;
  CHECK(std::get<std::string>(elements[1].storage()).size() < 300);
  CHECK(std::get<std::string>(elements[2].storage()).size() < 1100);
}

TEST_CASE("a result holds a value or an error") {
  const Result<int> good = 5;
  const Result<int> bad = errors::draining();
  CHECK(good);
  CHECK(*good == 5);
  CHECK_FALSE(bad);
  CHECK(bad.error().kind == ErrorKind::draining);
}
