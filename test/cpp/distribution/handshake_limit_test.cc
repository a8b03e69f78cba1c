#include "distribution/handshake_limit.h"

#include <catch2/catch.hpp>

namespace ml_worker::distribution {
namespace {

using namespace std::chrono_literals;
using Ticket = HandshakeLimiter::Ticket;

const TokenBucket::Clock::time_point kStart = TokenBucket::Clock::time_point{} + 1h;

std::string source_of(const char* address) {
  return handshake_source(asio::ip::make_address(address));
}

TEST_CASE("an IPv4 address has a budget of its own, an IPv6 network of 64 bits one for all") {
  CHECK(source_of("10.0.0.1") == "10.0.0.1");
  CHECK(source_of("::ffff:10.0.0.1") == "10.0.0.1");
  CHECK(source_of("2001:db8:1:2:3:4:5:6") == "2001:db8:1:2::/64");
  CHECK(source_of("2001:db8:1:2::7") == source_of("2001:db8:1:2:ffff::"));
  CHECK(source_of("2001:db8:1:3::7") != source_of("2001:db8:1:2::7"));
}

TEST_CASE("a bucket holds ten seconds' worth and refills evenly") {
  TokenBucket bucket(2, kStart);
  for (int i = 0; i < 20; ++i) CHECK(bucket.take(kStart));
  CHECK_FALSE(bucket.take(kStart));
  CHECK_FALSE(bucket.take(kStart + 400ms));
  CHECK(bucket.take(kStart + 500ms));
  CHECK_FALSE(bucket.is_full(kStart + 10s));
  CHECK(bucket.is_full(kStart + 11s));
}

TEST_CASE("what is given back can be taken, and never more than a bucket holds") {
  TokenBucket bucket(1, kStart);
  bucket.give_back();
  for (int i = 0; i < 10; ++i) CHECK(bucket.take(kStart));
  CHECK_FALSE(bucket.take(kStart));
  bucket.give_back();
  CHECK(bucket.take(kStart));
  CHECK_FALSE(bucket.take(kStart));
}

int admitted(HandshakeLimiter& limiter, const std::string& source, int attempts) {
  int count = 0;
  for (int i = 0; i < attempts; ++i) {
    const auto ticket = limiter.begin(source, kStart).ticket;
    if (!ticket) continue;
    limiter.end(*ticket, false);
    ++count;
  }
  return count;
}

TEST_CASE("an address over its rate is refused, and costs the others nothing") {
  HandshakeLimiter limiter({100, 5, 10}, kStart);
  CHECK(admitted(limiter, "a", 1000) == 50);
  CHECK(admitted(limiter, "b", 40) == 40);
}

TEST_CASE("all together have a rate too") {
  HandshakeLimiter limiter({100, 5, 10}, kStart);
  int count = 0;
  for (const char* source : {"a", "b", "c", "d"}) count += admitted(limiter, source, 30);
  CHECK(count == 100);
}

TEST_CASE("a proved handshake is not counted") {
  HandshakeLimiter limiter({100, 1, 1}, kStart);
  for (int i = 0; i < 1000; ++i) {
    const auto ticket = limiter.begin("a", kStart).ticket;
    REQUIRE(ticket);
    limiter.end(*ticket, true);
  }
}

TEST_CASE("one address has half of the table: its oldest makes room for its newest") {
  HandshakeLimiter limiter({8, 1000, 1000}, kStart);
  std::vector<Ticket> tickets;
  for (int i = 0; i < 4; ++i) {
    const auto admission = limiter.begin("flood", kStart);
    CHECK_FALSE(admission.evicted);
    tickets.push_back(*admission.ticket);
  }
  const auto fifth = limiter.begin("flood", kStart);
  CHECK(fifth.ticket);
  CHECK(fifth.evicted == tickets[0]);
  CHECK_FALSE(limiter.begin("genuine", kStart).evicted);
  // What has ended leaves room; to end it twice changes nothing.
  limiter.end(tickets[1], false);
  limiter.end(tickets[1], false);
  CHECK_FALSE(limiter.begin("flood", kStart).evicted);
  CHECK(limiter.begin("flood", kStart).evicted == tickets[2]);
}

TEST_CASE("a full table takes from the address that has the most, of equals from the oldest") {
  HandshakeLimiter limiter({6, 1000, 1000}, kStart);
  const auto first = limiter.begin("a", kStart).ticket;
  const auto second = limiter.begin("b", kStart).ticket;
  for (int i = 0; i < 2; ++i) limiter.begin("b", kStart);
  for (int i = 0; i < 2; ++i) limiter.begin("a", kStart);
  CHECK(limiter.begin("genuine", kStart).evicted == first);
  CHECK(limiter.begin("another", kStart).evicted == second);
}

TEST_CASE("addresses beyond what is remembered share a budget") {
  HandshakeLimiter limiter({10, 1, 1000000}, kStart);
  for (int i = 0; i < 4096; ++i) CHECK(admitted(limiter, std::to_string(i), 1) == 1);
  CHECK(admitted(limiter, "x", 30) + admitted(limiter, "y", 30) == 10);
  // Forgotten once their allowance is whole again.
  CHECK(limiter.begin("x", kStart + 1s).ticket);
  int count = 0;
  while (limiter.begin("z", kStart + 1s).ticket) ++count;
  CHECK(count == 10);
}

}  // namespace
}  // namespace ml_worker::distribution
