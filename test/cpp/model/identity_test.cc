#include "model/identity.h"

#include <algorithm>
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

TEST_CASE("whoever waits is told how much has been read") {
  const std::string large(std::size_t{9} << 20, 'x');
  const std::string small = "small";
  const std::size_t all = large.size() + small.size();
  std::vector<std::size_t> seen;
  const auto progress = [&](std::size_t read, std::size_t of) {
    CHECK(of == all);
    seen.push_back(read);
  };
  CHECK(model_identity({named("a", large), named("b", small)}, progress) ==
        model_identity({named("a", large), named("b", small)}));
  CHECK(seen.size() == 4);  // three pieces of the large one
  CHECK(std::is_sorted(seen.begin(), seen.end()));
  CHECK(seen.back() == all);
}

TEST_CASE("the digest is SHA-256") {
  CHECK(model_identity({}) == "e3b0c44298fc1c14");  // of nothing
}
