#include "distribution/ticks.h"

#include <catch2/catch.hpp>
#include <optional>
#include <utility>
#include <vector>

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

/// Of a peer that has told by its ticks that it is patient.
TickPolicy told(std::chrono::milliseconds configured) {
  TickPolicy policy(configured, 60s, kStart);
  for (int tick = 1; tick <= 4; ++tick) policy.on_tick(kStart + tick * 60s);
  return policy;
}

TEST_CASE("until a peer's ticks have told, it gets one every second") {
  TickPolicy policy(15s, 60s, kStart);
  for (int second = 0; second < 3; ++second) CHECK(policy.tick_due());
  policy.on_tick(kStart + 1s);
  policy.on_tick(kStart + 31s);
  CHECK(policy.tick_due());
}

TEST_CASE("a tick is due when nothing was written for an interval") {
  TickPolicy policy = told(15s);
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
  TickPolicy policy = told(15s);
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

void tick_every(TickPolicy& policy, TickPolicy::Clock::time_point& now,
                std::chrono::milliseconds gap, int ticks) {
  for (int i = 0; i < ticks; ++i) {
    now += gap;
    policy.on_read(now);
    policy.on_tick(now);
  }
}

TEST_CASE("four ticks in a row tell how long a peer's silence is borne") {
  TickPolicy policy(15s, 60s, kStart);
  auto now = kStart;
  tick_every(policy, now, 1s, 3);  // a net_ticktime of 4 s
  CHECK(policy.patience() == 60s);
  tick_every(policy, now, 1s, 1);
  CHECK(policy.patience() == 10s);
  tick_every(policy, now, 15s, 4);  // of 60 s
  CHECK(policy.patience() == 75s);
  tick_every(policy, now, 90s, 1);  // of 360 s: to be more patient one gap is enough
  CHECK(policy.patience() == 450s);
}

TEST_CASE("a short patience is 6 s at least, and leaves half of it to answer") {
  TickPolicy policy(15s, 60s, kStart);
  auto now = kStart;
  tick_every(policy, now, 250ms, 4);
  CHECK(policy.patience() == 6s);
  CHECK(policy.silence(now + 2900ms) == Silence::borne);
  CHECK(policy.silence(now + 3s) == Silence::ask);
  CHECK(policy.silence(now + 5900ms) == Silence::borne);
  CHECK(policy.silence(now + 6s) == Silence::over);
}

TEST_CASE("a net_tickintensity of up to ten gives nobody up before its net_ticktime") {
  for (const int intensity : {4, 5, 8, 10}) {
    TickPolicy policy(15s, 60s, kStart);
    auto now = kStart;
    tick_every(policy, now, 60000ms / intensity, 4);
    CHECK(policy.patience() >= 60s);
  }
}

TEST_CASE("a busy peer keeps the interval that it had when it was idle") {
  TickPolicy policy(15s, 60s, kStart);
  auto now = kStart;
  tick_every(policy, now, 15s, 4);
  policy.on_frame();
  tick_every(policy, now, 1s, 1);
  policy.on_frame();
  tick_every(policy, now, 284s, 1);
  CHECK(policy.patience() == 75s);
}

/// An Erlang node: ticks every quarter of its net_ticktime, unless it has written since the last
/// quarter; answers a question in 10 ms. What it sends from `stalled` on comes when the stall ends.
class Otp {
 public:
  Otp(TickPolicy& policy, TickPolicy::Clock::time_point now, std::chrono::milliseconds quarter)
      : policy_(policy), now_(now), quarter_(quarter), next_(now + quarter) {}

  void live(std::chrono::milliseconds duration) {
    for (const auto end = now_ + duration; now_ < end && !lost; now_ += 10ms) step(now_);
  }
  void stall(std::chrono::milliseconds duration) {
    stalled_ = now_ + duration;
    live(duration);
  }
  void set_quarter(std::chrono::milliseconds quarter) { quarter_ = quarter; }

  int questions = 0;
  bool lost = false;

 private:
  void step(TickPolicy::Clock::time_point now) {
    if (answer_ && now >= *answer_) {
      answer_.reset();
      written_ = true;
      sent_.push_back(false);
    }
    if (now >= next_) {
      if (!std::exchange(written_, false)) sent_.push_back(true);
      next_ += quarter_;
    }
    if (now >= stalled_) deliver(now);
    const Silence silence = policy_.silence(now);
    if (silence == Silence::ask) {
      ++questions;
      answer_ = std::max(now, stalled_) + 10ms;
    }
    lost = silence == Silence::over;
  }
  void deliver(TickPolicy::Clock::time_point now) {
    for (const bool tick : std::exchange(sent_, {})) {
      policy_.on_read(now);
      if (tick) {
        policy_.on_tick(now);
      } else {
        policy_.on_frame();
      }
    }
  }

  TickPolicy& policy_;
  TickPolicy::Clock::time_point now_;
  std::chrono::milliseconds quarter_;
  TickPolicy::Clock::time_point next_;
  TickPolicy::Clock::time_point stalled_{};
  std::optional<TickPolicy::Clock::time_point> answer_;
  std::vector<bool> sent_;  ///< and not read yet: ticks and answers
  bool written_ = false;
};

TEST_CASE("ticks that came bunched make nobody impatient") {
  for (const auto stall : {16s, 31s, 46s}) {
    TickPolicy policy(15s, 60s, kStart);
    Otp peer(policy, kStart, 15s);
    peer.stall(stall);
    peer.live(120s);
    CHECK(policy.patience() >= 60s);
    for (int i = 0; i < 10; ++i) {
      peer.stall(5s);
      peer.live(300s);
    }
    CHECK_FALSE(peer.lost);
    CHECK(peer.questions == 0);
    CHECK(policy.patience() == 75s);
    CHECK(policy.interval() == 15s);
  }
}

TEST_CASE("whoever answers a question too early is not asked so early again") {
  TickPolicy policy(15s, 60s, kStart);
  Otp peer(policy, kStart, 1s);
  peer.live(10s);
  CHECK(policy.patience() < 11s);
  peer.set_quarter(15s);  // a net_ticktime that was raised
  peer.live(30s);
  CHECK(peer.questions == 1);
  peer.live(300s);
  CHECK(peer.questions == 1);
  CHECK(policy.patience() == 75s);
  CHECK(policy.interval() == 15s);
  peer.stall(45s);
  CHECK_FALSE(peer.lost);
}

TEST_CASE("a peer with a shorter net_ticktime is ticked as often as it ticks") {
  TickPolicy policy = told(15s);
  CHECK(policy.interval() == 15s);
  policy.on_tick(kStart + 241s);
  CHECK(policy.interval() == 1s);
}

TEST_CASE("one tick that came late makes ours no rarer") {
  TickPolicy policy(15s, 60s, kStart);
  auto now = kStart;
  tick_every(policy, now, 1s, 4);
  tick_every(policy, now, 4s, 1);
  CHECK(policy.interval() == 1s);
}

TEST_CASE("a frame between two ticks says nothing about the interval") {
  TickPolicy policy = told(15s);
  policy.on_frame();
  policy.on_tick(kStart + 241s);
  CHECK(policy.interval() == 15s);
}

TEST_CASE("neither bunched nor rare ticks leave the bounds") {
  TickPolicy policy(15s, 60s, kStart);
  auto now = kStart;
  tick_every(policy, now, 0ms, 2);
  CHECK(policy.interval() == TickPolicy::kShortest);
  tick_every(policy, now, 60s, 3);
  CHECK(policy.interval() == 15s);
}

}  // namespace
}  // namespace ml_worker::distribution
