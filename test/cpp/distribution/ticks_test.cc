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

using Silence = TickPolicy::Silence;

TEST_CASE("a silent peer is asked once, and is over when it has not answered") {
  TickPolicy policy(15s, 60s, kStart);
  CHECK(policy.silence(kStart + 47s) == Silence::borne);
  CHECK(policy.silence(kStart + 48s) == Silence::ask);
  CHECK(policy.silence(kStart + 59s) == Silence::borne);
  CHECK(policy.silence(kStart + 60s) == Silence::over);
}

TEST_CASE("whatever a peer sends ends its silence") {
  TickPolicy policy(15s, 60s, kStart);
  CHECK(policy.silence(kStart + 48s) == Silence::ask);
  policy.on_read(kStart + 49s);
  CHECK(policy.silence(kStart + 60s) == Silence::borne);
  CHECK(policy.silence(kStart + 97s) == Silence::ask);
}

TEST_CASE("whoever was not asked in time has its time to answer all the same") {
  TickPolicy policy(15s, 60s, kStart);
  CHECK(policy.silence(kStart + 1000s) == Silence::ask);
  CHECK(policy.silence(kStart + 1011s) == Silence::borne);
  CHECK(policy.silence(kStart + 1012s) == Silence::over);
}

TEST_CASE("two ticks in a row tell how long a peer's silence is borne") {
  TickPolicy policy(15s, 60s, kStart);
  policy.on_tick(kStart);
  CHECK(policy.patience() == 60s);
  policy.on_tick(kStart + 2s);  // a net_ticktime of 8 s
  CHECK(policy.patience() == 10s);
  policy.on_tick(kStart + 92s);  // of 360 s
  CHECK(policy.patience() == 450s);
}

TEST_CASE("a busy peer keeps the interval that it had when it was idle") {
  TickPolicy policy(15s, 60s, kStart);
  policy.on_tick(kStart);
  policy.on_tick(kStart + 15s);
  policy.on_frame();
  policy.on_tick(kStart + 16s);
  policy.on_frame();
  policy.on_tick(kStart + 300s);
  CHECK(policy.patience() == 75s);
}

TEST_CASE("ticks that came bunched cost nobody more than a question") {
  TickPolicy policy(15s, 60s, kStart);
  policy.on_tick(kStart);
  policy.on_tick(kStart);
  CHECK(policy.patience() == TickPolicy::kShortestPatience);
  policy.on_read(kStart);
  CHECK(policy.silence(kStart + 5s) == Silence::ask);
  policy.on_read(kStart + 5s);
  CHECK(policy.silence(kStart + 9s) == Silence::borne);
  policy.on_tick(kStart + 15s);
  CHECK(policy.patience() == 75s);
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
