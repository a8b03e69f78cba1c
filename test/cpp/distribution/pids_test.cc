#include "distribution/pids.h"

#include <catch2/catch.hpp>

#include "distribution/bytes.h"

namespace ml_worker::distribution {
namespace {

TEST_CASE("a pid of ours is recognised, also with ids over 32 bits") {
  const OurPids pids("worker1@127.0.0.1", 0xfedcba98);
  for (const std::uint64_t id : {std::uint64_t{1}, std::uint64_t{0x123456789a}}) {
    CHECK(pids.recognise(pids.term(id)) == id);
  }
}

TEST_CASE("pids are never the same") {
  OurPids pids("worker1@127.0.0.1", 9);
  CHECK(pids.allocate() != pids.allocate());
}

TEST_CASE("other pids and other terms are not ours") {
  const OurPids pids("worker1@127.0.0.1", 5);
  const OurPids earlier_life("worker1@127.0.0.1", 6);
  const OurPids other_node("worker2@127.0.0.1", 5);
  CHECK_FALSE(pids.recognise(earlier_life.term(1)));
  CHECK_FALSE(pids.recognise(other_node.term(1)));
  CHECK_FALSE(pids.recognise(test::atom("worker1@127.0.0.1")));
  CHECK_FALSE(pids.recognise({}));
  const Bytes whole = pids.term(1);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    CHECK_FALSE(pids.recognise(ByteView(whole).first(size)));
  }
}

TEST_CASE("a reference of ours is a term, another for each id") {
  const OurPids pids("worker1@127.0.0.1", 5);
  const Bytes reference = test::versioned(pids.reference(0x123456789a));
  ByteView rest(reference);
  CHECK(terms::scan(rest));
  CHECK(rest.empty());
  CHECK(pids.reference(1) != pids.reference(2));
}

}  // namespace
}  // namespace ml_worker::distribution
