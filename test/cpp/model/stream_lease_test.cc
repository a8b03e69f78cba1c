#include "model/stream_lease.h"

#include <catch2/catch.hpp>
#include <memory>
#include <vector>

using namespace ml_worker;
using Catch::Matchers::Contains;

TEST_CASE("a device lends so many streams at a time, and takes them back") {
  const c10::Device device(c10::kCPU);
  for (int turn = 0; turn < 3; ++turn) {
    std::vector<std::unique_ptr<StreamLease>> leases;
    for (std::size_t i = 0; i < StreamLease::kMost; ++i) {
      leases.push_back(std::make_unique<StreamLease>(device));
      CHECK(leases.back()->get().device() == device);
    }
    CHECK_THROWS_WITH(StreamLease(device), Contains("at most 32"));
  }
}
