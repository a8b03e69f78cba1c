#include "terms/model_name.h"

#include <catch2/catch.hpp>

#include "terms/bytes.h"
#include "terms/errors.h"

namespace ml_worker::terms {
namespace {

using testing::bytes;
using testing::Made;

Result<std::string> name_of(const Made& made) {
  Reader reader(made.term());
  return read_model_name(reader);
}

Result<std::string> binary_name(const std::string& name) {
  return name_of(Made([&](Writer& writer) { writer.binary(name); }));
}

Result<std::string> atom_name(const std::string& name) {
  return name_of(Made([&](Writer& writer) { writer.atom(name); }));
}

Result<std::string> term_name(const std::string& body) {
  return name_of(Made(Bytes(body.begin(), body.end())));
}

TEST_CASE("binaries, atoms and charlists name a model") {
  CHECK(*binary_name("all-MiniLM-L6-v2") == "all-MiniLM-L6-v2");
  CHECK(*atom_name("large") == "large");
  CHECK(*term_name(bytes({107, 0, 5, "large"})) == "large");
  CHECK(*term_name(bytes({108, 0, 0, 0, 2, 97, "a", 97, "b", 106})) == "ab");
  CHECK(*binary_name("sentence-transformers/all-MiniLM-L6-v2") ==
        "sentence-transformers/all-MiniLM-L6-v2");
}

TEST_CASE("the atoms for nothing mean the default model, texts of that name do not") {
  for (const char* atom : {"none", "nil", "undefined", "default"}) {
    CHECK(*atom_name(atom) == "default");
  }
  CHECK(*binary_name("none") == "none");
}

TEST_CASE("what is not of a name's form is an unknown model") {
  const std::string long_part(97, 'a');
  for (const std::string& name :
       {std::string("../../etc/passwd"), std::string("/etc"), std::string("a/b/c"),
        std::string("a/"), std::string("/a"), std::string(".hidden"), std::string("-x"),
        std::string(""), std::string("a b"), std::string("a\0b", 3), std::string("\xC3\xA9"),
        long_part, "a/" + long_part}) {
    CAPTURE(name);
    const auto result = binary_name(name);
    REQUIRE_FALSE(result);
    CHECK(result.error().kind == ErrorKind::unknown_model);
  }
  CHECK(testing::text_part(binary_name("../../etc/passwd").error(), 1) == "../../etc/passwd");
  CHECK(binary_name(std::string(96, 'a')));
}

TEST_CASE("an unknown model's name comes back cut and readable") {
  const auto shown = testing::text_part(binary_name(std::string(1000000, 'x')).error(), 1);
  CHECK(shown.size() < 300);
  CHECK(testing::text_part(binary_name(std::string("a\xFF\0", 3)).error(), 1) ==
        "a\xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST_CASE("what cannot be a name is a bad argument") {
  const std::string expected = "model: expected a name (binary, atom or charlist), got ";
  CHECK(testing::bad_argument(term_name(bytes({97, 7})).error()) == expected + "the integer 7");
  CHECK(testing::bad_argument(term_name(bytes({116, 0, 0, 0, 0})).error()) == expected + "a map");
  CHECK(testing::bad_argument(term_name(bytes({108, 0, 0, 0, 1, 106, 106})).error()) ==
        expected + "a list with an empty list in it");
}

}  // namespace
}  // namespace ml_worker::terms
