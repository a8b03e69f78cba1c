#include <catch2/catch.hpp>

#include "ml_worker/batching.h"
#include "support/fake_encoder.h"

using ml_worker::select_batch;
using ml_worker::Waiting;
using Indices = std::vector<std::size_t>;

namespace {

const ml_worker::test::FakeEncoder a;
const ml_worker::test::FakeEncoder b("other");

Indices select(const std::vector<Waiting>& queue, std::size_t tokens) {
  return select_batch(queue, tokens);
}

}  // namespace

TEST_CASE("an empty queue gives an empty batch") { CHECK(select({}, 100).empty()); }

TEST_CASE("a lone text goes at once, whatever its length") {
  CHECK(select({{&a, 5}}, 100) == Indices{0});
  CHECK(select({{&a, 500}}, 100) == Indices{0});
  CHECK(select({{&a, 5}}, 0) == Indices{0});
}

TEST_CASE("a text longer than the budget goes alone") {
  CHECK(select({{&a, 500}, {&a, 1}, {&a, 1}}, 100) == Indices{0});
  CHECK(select({{&a, 1}, {&a, 500}, {&a, 1}}, 100) == Indices{0, 2});
}

TEST_CASE("texts are taken first come first served up to the budget") {
  CHECK(select({{&a, 40}, {&a, 40}, {&a, 20}, {&a, 1}}, 100) == Indices{0, 1, 2});
}

TEST_CASE("a text that does not fit is passed over by those that do") {
  CHECK(select({{&a, 60}, {&a, 50}, {&a, 40}, {&a, 1}}, 100) == Indices{0, 2});
}

TEST_CASE("a batch is of one encoder, that of the first text") {
  CHECK(select({{&b, 10}, {&a, 10}, {&b, 10}, {&a, 10}}, 100) == Indices{0, 2});
}

TEST_CASE("a batch has one kind of output, that of the first text") {
  using ml_worker::EncoderOutput;
  CHECK(select({{&a, 10, EncoderOutput::tokens}, {&a, 10}, {&a, 10, EncoderOutput::tokens}}, 100) ==
        Indices{0, 2});
}
