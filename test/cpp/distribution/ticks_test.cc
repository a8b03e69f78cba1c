#include "distribution/ticks.h"

#include <catch2/catch.hpp>

namespace ml_worker::distribution {
namespace {

using namespace std::chrono_literals;
const TickPolicy::Clock::time_point kStart{};

/// How many periods pass until a tick is due.
int periods_to_tick(TickPolicy& policy) {
  int periods = 1;
  while (!policy.tick_due()) ++periods;
  return periods;
}

TEST_CASE("a tick is due when nothing was written for an interval") {
  TickPolicy policy(15s, 60s, kStart);
  CHECK(policy.period() == 1s);
  CHECK(periods_to_tick(policy) == 15);
  CHECK(periods_to_tick(policy) == 15);
  policy.on_write();
  CHECK(periods_to_tick(policy) == 16);
}

TEST_CASE("an interval of a second or less is a period of its own") {
  TickPolicy policy(500ms, 60s, kStart);
  CHECK(policy.period() == 500ms);
  CHECK(policy.tick_due());
  policy.on_write();
  CHECK_FALSE(policy.tick_due());
  CHECK(policy.tick_due());
}

TEST_CASE("a peer that says something and hears nothing gets a tick after a second") {
  TickPolicy policy(15s, 60s, kStart);
  policy.on_frame();
  CHECK(periods_to_tick(policy) == 1);
  CHECK(periods_to_tick(policy) == 15);
  policy.on_frame();
  policy.on_write();
  CHECK(periods_to_tick(policy) == 16);
}

TEST_CASE("a peer is silent that sent no byte for its timeout") {
  TickPolicy policy(15s, 60s, kStart);
  CHECK_FALSE(policy.peer_is_silent(kStart + 59s));
  CHECK(policy.peer_is_silent(kStart + 60s));
  policy.on_read(kStart + 30s);
  CHECK_FALSE(policy.peer_is_silent(kStart + 60s));
}

TEST_CASE("a peer with a shorter net_ticktime is ticked as often as it ticks") {
  TickPolicy policy(15s, 60s, kStart);
  policy.on_tick(kStart + 1s);
  CHECK(policy.interval() == 15s);
  policy.on_tick(kStart + 2s);
  CHECK(policy.interval() == 1s);
}

TEST_CASE("a frame between two ticks says nothing about the interval") {
  TickPolicy policy(15s, 60s, kStart);
  policy.on_tick(kStart + 1s);
  policy.on_frame();
  policy.on_tick(kStart + 1500ms);
  CHECK(policy.interval() == 15s);
}

TEST_CASE("neither bunched nor rare ticks leave the bounds") {
  TickPolicy policy(15s, 60s, kStart);
  policy.on_tick(kStart);
  policy.on_tick(kStart);
  CHECK(policy.interval() == TickPolicy::kShortest);
  policy.on_tick(kStart + 60s);
  CHECK(policy.interval() == 15s);
}

}  // namespace
}  // namespace ml_worker::distribution
