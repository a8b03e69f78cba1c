#include "model/identity.h"

#include <catch2/catch.hpp>

using namespace ml_worker;

namespace {

NamedBytes named(const std::string& name, const std::string& content) {
  return {name, std::as_bytes(std::span(content))};
}

}  // namespace

TEST_CASE("an identity depends on names and contents, not on the order") {
  const std::string one = "one";
  const std::string two = "two";
  const std::string id = model_identity({named("a", one), named("b", two)});
  CHECK(id.size() == 16);
  CHECK(id.find_first_not_of("0123456789abcdef") == std::string::npos);
  CHECK(model_identity({named("b", two), named("a", one)}) == id);
  CHECK(model_identity({named("a", two), named("b", one)}) != id);
  CHECK(model_identity({named("a", one)}) != id);
  CHECK(model_identity({named("ao", "ne"), named("b", two)}) != id);
}

TEST_CASE("the digest is SHA-256") {
  CHECK(model_identity({}) == "e3b0c44298fc1c14");  // of nothing
}
