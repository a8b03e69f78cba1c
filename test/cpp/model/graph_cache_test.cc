#include "model/graph_cache.h"

#include <catch2/catch.hpp>
#include <stdexcept>

using namespace ml_worker;

namespace {

struct Cache {
  explicit Cache(std::size_t capacity) : graphs(capacity) {}

  /// The number of the shape's graph; -1: none yet.
  int find(std::int64_t tokens) {
    const int* graph =
        graphs.find({tokens, 1, 16}, [&] { return std::make_unique<int>(recorded++); });
    return graph == nullptr ? -1 : *graph;
  }

  GraphCache<int> graphs;
  int recorded = 0;
};

}  // namespace

TEST_CASE("a shape is recorded when it comes for the second time, and once") {
  Cache cache(4);
  CHECK(cache.find(16) == -1);
  CHECK(cache.find(32) == -1);
  CHECK(cache.graphs.any() == nullptr);
  CHECK(cache.find(16) == 0);
  CHECK(cache.find(16) == 0);
  CHECK(*cache.graphs.any() == 0);
  CHECK(cache.find(32) == 1);
  CHECK(cache.recorded == 2);
}

TEST_CASE("shapes differ by tokens, texts and the longest") {
  GraphCache<int> graphs(8);
  const auto record = [] { return std::make_unique<int>(7); };
  CHECK(graphs.find({64, 4, 16}, record) == nullptr);
  CHECK(graphs.find({64, 8, 16}, record) == nullptr);
  CHECK(graphs.find({64, 4, 32}, record) == nullptr);
  CHECK(graphs.find({64, 4, 16}, record) != nullptr);
}

TEST_CASE("the shape that was not used for longest is forgotten, with its graph") {
  Cache cache(2);
  cache.find(16);
  cache.find(16);
  cache.find(32);
  cache.find(16);
  cache.find(48);
  CHECK(cache.find(16) == 0);
  CHECK(cache.find(32) == -1);
}

TEST_CASE("a recording that fails is tried again, and nothing of it is kept") {
  Cache cache(2);
  cache.find(16);
  const PassShape shape{16, 1, 16};
  CHECK_THROWS_AS(
      cache.graphs.find(shape, []() -> std::unique_ptr<int> { throw std::runtime_error("no"); }),
      std::runtime_error);
  CHECK(cache.graphs.any() == nullptr);
  CHECK(cache.find(16) == 0);
}

TEST_CASE("what is cleared comes for the first time again") {
  Cache cache(2);
  cache.find(16);
  cache.find(16);
  cache.graphs.clear();
  CHECK(cache.find(16) == -1);
}
