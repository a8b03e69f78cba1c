#include <catch2/catch.hpp>

#include "ml_worker/distribution.h"

namespace ml_worker::distribution {
namespace {

TEST_CASE("long names need a host with a dot or an address") {
  CHECK(check_node_name("worker1@127.0.0.1", false).empty());
  CHECK(check_node_name("gpu-1_a@gpu.example.com", false).empty());
  CHECK(check_node_name("worker1@::1", false).empty());
  CHECK_FALSE(check_node_name("worker1@gpu-server-1", false).empty());
}

TEST_CASE("short names need a host without a dot") {
  CHECK(check_node_name("worker1@gpu-server-1", true).empty());
  CHECK_FALSE(check_node_name("worker1@127.0.0.1", true).empty());
}

TEST_CASE("what is no node name says why") {
  for (const std::string name : {"", "worker1", "@host.x", "worker1@", "a@b@c.d", "a b@c.d",
                                 "a@c d.e", "a/b@c.d", "w\xc3\xa4@c.d"}) {
    CHECK_FALSE(check_node_name(name, false).empty());
  }
  CHECK_FALSE(check_node_name(std::string(300, 'a') + "@b.c", false).empty());
}

}  // namespace
}  // namespace ml_worker::distribution
