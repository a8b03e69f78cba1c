#include "service/call_times.h"

#include <catch2/catch.hpp>

using namespace ml_worker;  // NOLINT(google-build-using-namespace)
using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;

TEST_CASE("a call that did nothing took no time, and had no parts") {
  const CallTimes times(Clock::now());
  CHECK(times.timings().queue == microseconds{0});
  CHECK(times.timings().tokenize == microseconds{0});
  CHECK(times.timings().compute == microseconds{0});
  CHECK_FALSE(times.has_tokenized());
  CHECK_FALSE(times.was_computed());
}

TEST_CASE("a call waits for a thread and for the device, and computes from first to last batch") {
  const Clock::time_point arrival = Clock::now() - hours{1};
  CallTimes times(arrival);
  times.begin();
  times.tokenized(Clock::now() - milliseconds{5});
  CHECK(times.has_tokenized());
  times.submit();
  const Clock::time_point submitted = Clock::now();
  const auto at = [submitted](int after) { return submitted + hours{after}; };
  times.computed({at(3), at(4)});
  times.computed({at(2), at(3)});
  times.computed({at(5), at(7)});
  CHECK(times.was_computed());
  const CallTimings timings = times.timings();
  CHECK((timings.queue >= hours{3} && timings.queue < hours{3} + milliseconds{100}));
  CHECK((timings.tokenize >= milliseconds{5} && timings.tokenize < milliseconds{105}));
  CHECK(timings.compute == hours{5});
}

TEST_CASE("work that another call had begun before this one took nothing from its queue") {
  CallTimes times(Clock::now());
  times.begin();
  times.submit();
  times.computed({Clock::now() - hours{1}, Clock::now()});
  CHECK(times.timings().queue < milliseconds{100});
}
