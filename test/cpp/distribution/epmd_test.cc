#include "distribution/epmd.h"

#include <catch2/catch.hpp>

#include "distribution/bytes.h"

namespace ml_worker::distribution::epmd {
namespace {

using test::bytes;
using test::operator+;
using test::text;
using Alive = Parse<Alive2Response>;
using Port = Parse<Port2Response>;

TEST_CASE("a hidden node asks epmd for its name as the protocol has it") {
  const Bytes expected =
      bytes({0, 20, 120, 0x12, 0x34, 72, 0, 0, 6, 0, 5, 0, 7}) + text("worker1") + bytes({0, 0});
  CHECK(alive2_request("worker1", 0x1234) == expected);
}

TEST_CASE("a port is asked for by name") {
  CHECK(port_please2_request("front") == bytes({0, 6, 122}) + text("front"));
}

TEST_CASE("epmd's answers to a registration") {
  const auto accepted = parse_alive2_response(bytes({118, 0, 1, 2, 3, 4}));
  CHECK(accepted.state == Alive::State::complete);
  CHECK(accepted.value.accepted);
  CHECK(accepted.value.creation == 0x01020304);

  const auto old = parse_alive2_response(bytes({121, 0, 0, 3}));
  CHECK(old.state == Alive::State::complete);
  CHECK(old.value.creation == 3);

  const auto taken = parse_alive2_response(bytes({118, 1, 0, 0, 0, 99}));
  CHECK(taken.state == Alive::State::complete);
  CHECK_FALSE(taken.value.accepted);

  CHECK(parse_alive2_response(bytes({119, 0, 0, 0})).state == Alive::State::malformed);
}

TEST_CASE("an answer cut anywhere is incomplete, not wrong") {
  const Bytes alive = bytes({118, 0, 1, 2, 3, 4});
  for (std::size_t size = 0; size < alive.size(); ++size) {
    CHECK(parse_alive2_response(ByteView(alive).first(size)).state == Alive::State::incomplete);
  }
  const Bytes port = bytes({119, 0, 0x9c, 0x40, 77, 0, 0, 6, 0, 5});
  for (std::size_t size = 0; size < port.size(); ++size) {
    CHECK(parse_port2_response(ByteView(port).first(size)).state == Port::State::incomplete);
  }
}

TEST_CASE("epmd's answers to a look-up") {
  const auto found =
      parse_port2_response(bytes({119, 0, 0x9c, 0x40, 77, 0, 0, 6, 0, 5, 0, 1, 'a', 0, 0}));
  CHECK(found.state == Port::State::complete);
  CHECK(found.value.found);
  CHECK(found.value.port == 40000);
  CHECK(found.value.highest_version == 6);
  CHECK(found.value.lowest_version == 5);

  const auto absent = parse_port2_response(bytes({119, 1}));
  CHECK(absent.state == Port::State::complete);
  CHECK_FALSE(absent.value.found);
  CHECK(parse_port2_response(bytes({118, 0})).state == Port::State::malformed);
}

}  // namespace
}  // namespace ml_worker::distribution::epmd
