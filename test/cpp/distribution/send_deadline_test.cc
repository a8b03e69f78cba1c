#include "distribution/send_deadline.h"

#include <catch2/catch.hpp>

namespace ml_worker::distribution {
namespace {

using namespace std::chrono_literals;
const SendDeadline::Clock::time_point kStart{1h};
constexpr std::size_t kRate = SendDeadline::kBytesPerSecond;

TEST_CASE("a peer that takes nothing is late after the timeout") {
  SendDeadline deadline(30s);
  deadline.on_pushed(100 * kRate, kStart);
  deadline.on_progress(100 * kRate, kStart);
  CHECK(deadline.at() == kStart + 30s);
}

TEST_CASE("each byte taken gives the timeout anew, but no longer than the rate allows") {
  SendDeadline deadline(30s);
  deadline.on_pushed(100 * kRate, kStart);
  for (auto passed = 20s; passed <= 200s; passed += 20s) {
    deadline.on_progress(100 * kRate - 1, kStart + passed);
    CHECK(deadline.at() == kStart + std::min<SendDeadline::Clock::duration>(passed, 100s) + 30s);
  }
}

TEST_CASE("what is pushed later has its own time behind what waits") {
  SendDeadline deadline(30s);
  deadline.on_pushed(100 * kRate, kStart);
  deadline.on_pushed(50 * kRate, kStart + 1s);
  deadline.on_progress(150 * kRate - 1, kStart + 1000s);
  CHECK(deadline.at() == kStart + 150s + 30s);
}

TEST_CASE("a peer that was fast may not be slow for that afterwards") {
  SendDeadline deadline(30s);
  deadline.on_pushed(1000 * kRate, kStart);
  deadline.on_progress(10 * kRate, kStart + 1s);
  deadline.on_progress(10 * kRate - 1, kStart + 50s);
  CHECK(deadline.at() == kStart + 11s + 30s);
}

TEST_CASE("what was pushed after a pause has all of its time") {
  SendDeadline deadline(30s);
  deadline.on_pushed(kRate, kStart);
  deadline.on_progress(0, kStart);
  deadline.on_pushed(kRate, kStart + 500s);
  deadline.on_progress(kRate, kStart + 500s);
  CHECK(deadline.at() == kStart + 530s);
}

}  // namespace
}  // namespace ml_worker::distribution
