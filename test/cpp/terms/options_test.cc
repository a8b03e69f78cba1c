#include "terms/options.h"

#include <catch2/catch.hpp>

#include "terms/bytes.h"
#include "terms/errors.h"

namespace ml_worker::terms {
namespace {

using testing::bad_argument;
using testing::bytes;
using testing::Made;
using Milliseconds = std::chrono::milliseconds;

Result<EncodeOptions> options(const Made& made) {
  Reader reader(made.term());
  auto result = read_options(reader);
  if (result) CHECK(reader.at_end());
  return result;
}

Result<EncodeOptions> options(const Value& value) {
  return options(Made([&](Writer& writer) { writer.value(value); }));
}

Result<EncodeOptions> option(const std::string& key, const Value& value) {
  return options(map({{key, value}}));
}

TEST_CASE("no options are the defaults") {
  for (const Value& none : {Value(ValueMap{}), Value(ValueList{})}) {
    const auto result = options(none);
    REQUIRE(result);
    CHECK(result->format == VectorFormat::list);
    CHECK(result->truncate);
    CHECK_FALSE(result->truncation_side);
    CHECK_FALSE(result->normalize);
    CHECK_FALSE(result->dimensions);
    CHECK_FALSE(result->timeout);
    CHECK_FALSE((result->usage || result->timings || result->fingerprint));
  }
}

TEST_CASE("a map sets every option") {
  const auto result = options(map({{"format", atom("base64")},
                                   {"truncate", false},
                                   {"truncation_side", atom("left")},
                                   {"normalize", true},
                                   {"dimensions", 128},
                                   {"prompt", atom("query")},
                                   {"priority", atom("bulk")},
                                   {"timeout_ms", 1500},
                                   {"trace", "req-1 00-ab"},
                                   {"usage", true},
                                   {"timings", true},
                                   {"fingerprint", true}}));
  REQUIRE(result);
  CHECK(result->format == VectorFormat::base64);
  CHECK_FALSE(result->truncate);
  CHECK(result->truncation_side == TruncationSide::left);
  CHECK(result->normalize == true);
  CHECK(result->dimensions == 128);
  CHECK(result->prompt == "query");
  CHECK(result->priority == Priority::bulk);
  CHECK(result->timeout == Milliseconds(1500));
  CHECK(result->trace == "req-1 00-ab");
  CHECK((result->usage && result->timings && result->fingerprint));
}

TEST_CASE("keys and enumerated values may be binaries") {
  const auto result = options(Value(ValueMap{{{Value("format"), Value("json")},
                                              {Value("usage"), Value("true")},
                                              {Value("truncation_side"), Value("right")}}}));
  REQUIRE(result);
  CHECK(result->format == VectorFormat::json);
  CHECK(result->usage);
  CHECK(result->truncation_side == TruncationSide::right);
}

TEST_CASE("in a proplist the first entry counts and an atom alone is true") {
  const auto result = options(ValueList{atom("usage"), tuple({atom("format"), atom("binary")}),
                                        tuple({atom("format"), atom("json")}),
                                        tuple({atom("format"), 5}), tuple({atom("usage"), false})});
  REQUIRE(result);
  CHECK(result->usage);
  CHECK(result->format == VectorFormat::binary);
}

TEST_CASE("an option may be named and left unset") {
  for (const char* unset : {"none", "nil", "undefined"}) {
    CHECK_FALSE(option("timeout_ms", atom(unset))->timeout);
    CHECK_FALSE(option("normalize", atom(unset))->normalize);
    CHECK_FALSE(option("dimensions", atom(unset))->dimensions);
    CHECK_FALSE(option("truncation_side", atom(unset))->truncation_side);
    CHECK_FALSE(option("prompt", atom(unset))->prompt);
    CHECK(option("trace", atom(unset))->trace.empty());
  }
  CHECK_FALSE(option("timeout_ms", atom("infinity"))->timeout);
}

TEST_CASE("a wrong value names its option, what was expected and what came") {
  const auto wrong = [](const std::string& key, const Value& value) {
    const auto result = option(key, value);
    return result ? "accepted" : bad_argument(result.error());
  };
  CHECK(wrong("format", atom("xml")) ==
        "format: expected list, binary, base64 or json, got the atom xml");
  CHECK(wrong("truncate", 1) == "truncate: expected true or false, got the integer 1");
  CHECK(wrong("normalize", "yes") == "normalize: expected true or false, got a binary");
  CHECK(wrong("truncation_side", atom("middle")) ==
        "truncation_side: expected right or left, got the atom middle");
  CHECK(wrong("dimensions", 0) ==
        "dimensions: expected an integer from 1 to the model's dimensions, got the integer 0");
  CHECK(wrong("dimensions", 1.5) ==
        "dimensions: expected an integer from 1 to the model's dimensions, got a float");
  CHECK(wrong("timeout_ms", -1) ==
        "timeout_ms: expected an integer from 0 to 4294967295, got the integer -1");
  CHECK(wrong("timeout_ms", std::int64_t{1} << 40) != "accepted");
  CHECK(wrong("usage", ValueList{}) == "usage: expected true or false, got an empty list");
  CHECK(wrong("timings", atom("on")) != "accepted");
  CHECK(wrong("priority", atom("high")) ==
        "priority: expected interactive or bulk, got the atom high");
  CHECK(wrong("prompt", 5) ==
        "prompt: expected the name of one of the model's prompts, got the integer 5");
  CHECK(wrong("prompt", "\xFF") != "accepted");
  CHECK(wrong("fingerprint", atom("on")) != "accepted");
}

TEST_CASE("a trace is short and has nothing in it that could forge a line of the log") {
  CHECK(option("trace", "a.b_c~d:e/f+g=h@i-j 0")->trace == "a.b_c~d:e/f+g=h@i-j 0");
  CHECK(option("trace", std::string(255, 'x'))->trace.size() == 255);
  CHECK_FALSE(option("trace", std::string(256, 'x')));
  for (const char* wrong :
       {"", "a\nb", "a\"b", "a\\b", "a\tb", "a\x1b[2Jb", "a\x7f", "caf\xc3\xa9", "a,b", "a;b"}) {
    CHECK_FALSE(option("trace", wrong));
  }
  CHECK_FALSE(option("trace", std::string("a\0b", 3)));
  CHECK(bad_argument(option("trace", 5).error()) ==
        "trace: expected a binary of 1 to 255 letters, digits, blanks and ._~:/+=@-, got the "
        "integer 5");
}

TEST_CASE("an unknown option is named as it was sent") {
  const auto by_atom = option("prioritty", true);
  REQUIRE_FALSE(by_atom);
  CHECK(bad_argument(by_atom.error()) ==
        "prioritty: expected one of the options dimensions fingerprint format normalize pieces "
        "priority prompt timeout_ms timings trace truncate truncation_side usage, got prioritty");
  const auto by_binary = options(Value(ValueMap{{{Value("made up"), Value(1)}}}));
  REQUIRE_FALSE(by_binary);
  CHECK(testing::text_part(by_binary.error(), 1) == "made up");
  const auto nasty = options(Value(ValueMap{{{Value(std::string(100000, '\xFF')), Value(1)}}}));
  REQUIRE_FALSE(nasty);
  CHECK(testing::text_part(nasty.error(), 1).size() < 1000);
  CHECK_FALSE(options(ValueList{atom("nosuch")}));
}

TEST_CASE("what is neither a map nor a proplist is a bad argument") {
  const std::string expected = "opts: expected ";
  CHECK(bad_argument(options(Value("usage")).error()) ==
        expected + "a map or a proplist, got a binary");
  CHECK(bad_argument(options(atom("usage")).error()) ==
        expected + "a map or a proplist, got the atom usage");
  CHECK(bad_argument(options(ValueList{atom("usage"), 5}).error()) ==
        expected + "{Name, Value} or an atom, got an integer at position 2");
  CHECK(bad_argument(options(ValueList{tuple({atom("usage"), true, true})}).error()) ==
        expected + "{Name, Value} or an atom, got a tuple at position 1");
  CHECK(bad_argument(options(ValueList{tuple({5, true})}).error()) ==
        expected + "option names that are atoms or binaries, got an integer");
  const std::string improper = bytes({108, 0, 0, 0, 1, 119, 5, "usage", 119, 5, "usage"});
  CHECK(bad_argument(options(Made(Bytes(improper.begin(), improper.end()))).error()) ==
        expected + "a map or a proplist, got an improper list");
}

}  // namespace
}  // namespace ml_worker::terms
