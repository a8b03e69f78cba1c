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

using Verdict = LogLimiter::Verdict;

TEST_CASE("one source's names use up no other's lines, and its reasons go on") {
  SourceLogLimiter limiter;
  std::size_t written = 0;
  for (int i = 0; i < 2000; ++i) {
    const auto verdict = limiter.ask("10.0.0.1", std::to_string(i), "closed", kStart);
    if (verdict == Verdict::write) ++written;
  }
  CHECK(written == SourceLogLimiter::kMaxNames + 1);
  CHECK(limiter.ask("10.0.0.2", "a", "wrong cookie", kStart) == Verdict::write);
  CHECK(limiter.ask("10.0.0.1", "a", "wrong cookie", kStart) == Verdict::write);
  CHECK(limiter.ask("10.0.0.1", "b", "wrong cookie", kStart) == Verdict::repeated);
  CHECK(limiter.ask("10.0.0.1", "b", "wrong cookie", kStart + 60s) == Verdict::write);
}

TEST_CASE("a source's name is a line of its own for each reason, once a minute") {
  SourceLogLimiter limiter;
  CHECK(limiter.ask("10.0.0.1", "a", "closed", kStart) == Verdict::write);
  CHECK(limiter.ask("10.0.0.1", "a", "wrong cookie", kStart) == Verdict::write);
  CHECK(limiter.ask("10.0.0.1", "a", "wrong cookie", kStart + 59s) == Verdict::repeated);
  CHECK(limiter.ask("10.0.0.1", "a", "wrong cookie", kStart + 60s) == Verdict::write);
}

TEST_CASE("more sources than there is room for are told of, and leave within a minute or two") {
  SourceLogLimiter limiter;
  for (std::size_t i = 0; i < SourceLogLimiter::kMaxSources; ++i) {
    CHECK(limiter.ask(std::to_string(i), "a", "closed", kStart) == Verdict::write);
  }
  CHECK(limiter.ask("late", "a", "closed", kStart) == Verdict::no_room);
  CHECK(limiter.ask("0", "a", "closed", kStart) == Verdict::repeated);
  CHECK(limiter.ask("0", "a", "closed", kStart + 60s) == Verdict::write);
  CHECK(limiter.ask("late", "a", "closed", kStart + 60s) == Verdict::write);
  // Whoever wrote meanwhile has kept its place.
  CHECK(limiter.ask("0", "a", "closed", kStart + 61s) == Verdict::repeated);
}

}  // namespace
}  // namespace ml_worker::distribution
