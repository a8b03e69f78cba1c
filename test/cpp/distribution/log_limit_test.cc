#include "distribution/log_limit.h"

#include <catch2/catch.hpp>

namespace ml_worker::distribution {
namespace {

using namespace std::chrono_literals;
const LogLimiter::Clock::time_point kStart = LogLimiter::Clock::time_point{} + 1h;

TEST_CASE("one line per key and minute") {
  LogLimiter limiter;
  CHECK(limiter.allow("a", kStart));
  CHECK_FALSE(limiter.allow("a", kStart + 59s));
  CHECK(limiter.allow("b", kStart + 59s));
  CHECK(limiter.allow("a", kStart + 60s));
}

TEST_CASE("a flood of keys is bounded and passes") {
  LogLimiter limiter;
  std::size_t allowed = 0;
  for (std::size_t i = 0; i < 3 * LogLimiter::kMaxKeys; ++i) {
    if (limiter.allow(std::to_string(i), kStart)) ++allowed;
  }
  CHECK(allowed == LogLimiter::kMaxKeys);
  CHECK(limiter.allow("late", kStart + 60s));
}

}  // namespace
}  // namespace ml_worker::distribution
