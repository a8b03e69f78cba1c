#include <catch2/catch.hpp>
#include <utility>

#include "ml_worker/terms.h"

namespace ml_worker::terms {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

TEST_CASE("a buffer has the room that was asked for and nothing in it") {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1000}, 9 * kMiB}) {
    const Bytes bytes = buffer_for(size);
    CHECK(bytes.empty());
    CHECK(bytes.capacity() >= size);
  }
}

TEST_CASE("a large buffer that was given back is the next one of its size, and empty") {
  Bytes first = buffer_for(20 * kMiB);
  first.assign(20 * kMiB, 'x');
  const char* const place = first.data();
  recycle(std::move(first));
  Bytes larger = buffer_for(21 * kMiB);
  CHECK(larger.data() != place);
  Bytes second = buffer_for(10 * kMiB);
  CHECK(second.data() == place);
  CHECK(second.empty());
  second.assign(10 * kMiB, 'y');
  CHECK(second.back() == 'y');
  // There was one.
  CHECK(buffer_for(10 * kMiB).data() != place);
}

TEST_CASE("the largest of those that were given back is kept") {
  Bytes small = buffer_for(30 * kMiB);
  Bytes large = buffer_for(31 * kMiB);
  const char* const place = large.data();
  recycle(std::move(large));
  recycle(std::move(small));
  CHECK(buffer_for(30 * kMiB).data() == place);
}

TEST_CASE("neither small nor huge buffers are kept") {
  for (const std::size_t size : {kMiB, 200 * kMiB}) {
    Bytes bytes = buffer_for(size);
    recycle(std::move(bytes));
  }
  CHECK(buffer_for(150 * kMiB).capacity() < 200 * kMiB);
}

}  // namespace
}  // namespace ml_worker::terms
