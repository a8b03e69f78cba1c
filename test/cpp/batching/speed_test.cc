#include "batching/speed.h"

#include <catch2/catch.hpp>
#include <cmath>

using ml_worker::SpeedMeter;

TEST_CASE("before the first batch the speed is 0") {
  CHECK(SpeedMeter().tokens_per_second() == 0.0);
}

TEST_CASE("a constant speed is measured exactly") {
  SpeedMeter meter;
  for (int i = 0; i < 50; ++i) meter.add(500, 0.25);
  CHECK(meter.tokens_per_second() == Approx(2000.0));
}

TEST_CASE("the speed follows a change within seconds of computing") {
  SpeedMeter meter;
  for (int i = 0; i < 50; ++i) meter.add(1000, 0.1);
  for (int i = 0; i < 50; ++i) meter.add(100, 0.1);
  CHECK(meter.tokens_per_second() < 2000.0);
  CHECK(meter.tokens_per_second() > 1000.0);
}

TEST_CASE("a batch in no time at all leaves the speed finite") {
  SpeedMeter meter;
  meter.add(1000, 0.0);
  CHECK(std::isfinite(meter.tokens_per_second()));
}
