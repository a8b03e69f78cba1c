#include "distribution/descriptors.h"

#include <sys/resource.h>

#include <catch2/catch.hpp>

namespace ml_worker::distribution {
namespace {

/// Puts the limit back.
class SoftLimit {
 public:
  explicit SoftLimit(rlim_t now) {
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before_) == 0);
    const rlimit limit{now, before_.rlim_max};
    REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
  }
  SoftLimit(const SoftLimit&) = delete;
  SoftLimit& operator=(const SoftLimit&) = delete;
  ~SoftLimit() { setrlimit(RLIMIT_NOFILE, &before_); }

  static rlimit in_force() {
    rlimit limit{};
    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    return limit;
  }

 private:
  rlimit before_{};
};

TEST_CASE("the limit of descriptors is raised to what is wanted, and never lowered") {
  const SoftLimit low(64);
  CHECK(raise_descriptor_limit(200) == 200);
  CHECK(SoftLimit::in_force().rlim_cur == 200);
  CHECK(raise_descriptor_limit(100) == 200);
  CHECK(SoftLimit::in_force().rlim_cur == 200);
}

TEST_CASE("the limit of descriptors is raised to the hard limit at most") {
  const SoftLimit low(64);
  const rlim_t hard = SoftLimit::in_force().rlim_max;
  if (hard == RLIM_INFINITY) return;
  CHECK(raise_descriptor_limit(hard + 1) == hard);
  CHECK(SoftLimit::in_force().rlim_cur == hard);
}

}  // namespace
}  // namespace ml_worker::distribution
