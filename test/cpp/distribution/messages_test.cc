#include "distribution/messages.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <numeric>

#include "distribution/bytes.h"

namespace ml_worker::distribution {
namespace {

using test::operator+;
using Event = MessageReader::Event;
using Kind = FrameHeader::Kind;
using Missing = Message::Missing;

Frame frame(Bytes bytes) {
  const std::uint64_t length = bytes.size();
  return {std::move(bytes), length, false};
}

Bytes fragment_header(char tag, std::uint64_t sequence, std::uint64_t fragment) {
  Bytes out = test::bytes({131}) + Bytes{tag};
  put_number(out, 8, sequence);
  put_number(out, 8, fragment);
  return out;
}

Frame first(std::uint64_t sequence, std::uint64_t fragment, const Bytes& content) {
  return frame(fragment_header('E', sequence, fragment) + test::bytes({0}) + content);
}
Frame next(std::uint64_t sequence, std::uint64_t fragment, const Bytes& content) {
  return frame(fragment_header('F', sequence, fragment) + content);
}

Bytes content_of(const Message& message) {
  return {message.bytes.begin() + static_cast<std::ptrdiff_t>(message.start), message.bytes.end()};
}

/// The fragments of a message whose content is `count` different bytes of that sequence.
std::vector<Frame> fragments(std::uint64_t sequence, std::uint64_t count) {
  std::vector<Frame> out;
  for (std::uint64_t i = 0; i < count; ++i) {
    const Bytes byte{static_cast<char>(16 * sequence + i)};
    out.push_back(i == 0 ? first(sequence, count, byte) : next(sequence, count - i, byte));
  }
  return out;
}

constexpr ReassemblyLimits kLimits{std::size_t{1} << 20, std::size_t{1} << 21, 4};

TEST_CASE("headers: of whole messages, of fragments, and what is none") {
  CHECK(parse_frame_header(test::bytes({'p', 131, 104})).kind == Kind::pass_through);
  CHECK(parse_frame_header(test::bytes({'p', 131, 104})).bytes == 1);
  CHECK(parse_frame_header(test::bytes({131, 'D', 0, 104})).kind == Kind::whole);
  CHECK(parse_frame_header(test::bytes({131, 'D', 0, 104})).bytes == 3);
  const Bytes start = fragment_header('E', 0x0102030405060708U, 9) + test::bytes({0, 104});
  CHECK(parse_frame_header(start).kind == Kind::first_fragment);
  CHECK(parse_frame_header(start).bytes == 19);
  CHECK(parse_frame_header(start).sequence == 0x0102030405060708U);
  CHECK(parse_frame_header(start).fragment == 9);
  const Bytes rest = fragment_header('F', 7, 1);
  CHECK(parse_frame_header(rest).kind == Kind::next_fragment);
  CHECK(parse_frame_header(rest).bytes == 18);

  CHECK(parse_frame_header({}).kind == Kind::malformed);
  CHECK(parse_frame_header(test::bytes({'q', 131})).kind == Kind::malformed);
  CHECK(parse_frame_header(test::bytes({131, 'G'})).kind == Kind::malformed);
  CHECK(parse_frame_header(test::bytes({131, 'D', 1, 8, 0})).kind == Kind::malformed);  // an atom
  CHECK(parse_frame_header(fragment_header('E', 7, 2) + test::bytes({1})).kind == Kind::malformed);
  CHECK(parse_frame_header(fragment_header('F', 7, 0)).kind == Kind::malformed);
}

TEST_CASE("headers cut anywhere are malformed") {
  for (const Bytes& whole : {fragment_header('E', 1, 1) + test::bytes({0}),
                             fragment_header('F', 1, 1), test::bytes({131, 'D', 0})}) {
    for (std::size_t size = 0; size < whole.size(); ++size) {
      CHECK(parse_frame_header(ByteView(whole).first(size)).kind == Kind::malformed);
    }
  }
}

TEST_CASE("whole messages pass, with and without version bytes") {
  MessageReader reader(kLimits);
  REQUIRE(reader.feed(frame(test::bytes({'p', 131, 104, 0}))) == Event::message);
  Message message = reader.take();
  CHECK(message.versioned);
  CHECK(content_of(message) == test::bytes({131, 104, 0}));
  REQUIRE(reader.feed(frame(test::bytes({131, 'D', 0, 104, 0}))) == Event::message);
  message = reader.take();
  CHECK_FALSE(message.versioned);
  CHECK(content_of(message) == test::bytes({104, 0}));
}

TEST_CASE("a frame over the cap becomes a message that is too large") {
  MessageReader reader(kLimits);
  REQUIRE(reader.feed({test::bytes({131, 'D', 0, 104}), 1000000, true}) == Event::message);
  const Message message = reader.take();
  CHECK(message.missing == Missing::too_large);
  CHECK(message.length == 1000000);
}

TEST_CASE("one fragment may be all") {
  MessageReader reader(kLimits);
  REQUIRE(reader.feed(first(3, 1, test::text("all"))) == Event::message);
  CHECK(content_of(reader.take()) == test::text("all"));
  CHECK(reader.held_bytes() == 0);
}

TEST_CASE("two messages are put together in every order in which their fragments may come") {
  const auto one = fragments(1, 4);
  const auto two = fragments(2, 4);
  // Each order of four frames of the one and four of the other.
  std::vector<int> turn{1, 1, 1, 1, 2, 2, 2, 2};
  int orders = 0;
  do {
    MessageReader reader(kLimits);
    std::size_t at[3] = {0, 0, 0};
    int messages = 0;
    for (const int which : turn) {
      const auto& from = which == 1 ? one : two;
      const auto event = reader.feed(from[at[which]++]);
      if (at[which] < 4) {
        CHECK(event == Event::need_more);
        continue;
      }
      REQUIRE(event == Event::message);
      const Message message = reader.take();
      CHECK(content_of(message) ==
            test::bytes({16 * which, 16 * which + 1, 16 * which + 2, 16 * which + 3}));
      CHECK(message.length == 4);
      ++messages;
    }
    CHECK(messages == 2);
    CHECK(reader.held_bytes() == 0);
    ++orders;
  } while (std::next_permutation(turn.begin(), turn.end()));
  CHECK(orders == 70);
}

TEST_CASE("within a message only the protocol's order is taken") {
  std::vector<std::size_t> order(4);
  std::iota(order.begin(), order.end(), std::size_t{0});
  int taken = 0;
  do {
    MessageReader reader(kLimits);
    const auto all = fragments(1, 4);
    Event event = Event::need_more;
    for (std::size_t i = 0; i < 4 && event == Event::need_more; ++i)
      event = reader.feed(all[order[i]]);
    if (event == Event::message) ++taken;
    const bool in_order = std::is_sorted(order.begin(), order.end());
    CHECK((event == Event::message) == in_order);
    CHECK((event == Event::malformed) == !in_order);
  } while (std::next_permutation(order.begin(), order.end()));
  CHECK(taken == 1);
}

TEST_CASE(
    "whole messages go between the fragments of another, whose number is free again after it") {
  MessageReader reader(kLimits);
  CHECK(reader.feed(first(5, 2, test::text("a"))) == Event::need_more);
  REQUIRE(reader.feed(frame(test::bytes({131, 'D', 0, 1}))) == Event::message);
  CHECK(content_of(reader.take()) == test::bytes({1}));
  REQUIRE(reader.feed(next(5, 1, test::text("b"))) == Event::message);
  CHECK(content_of(reader.take()) == test::text("ab"));
  CHECK(reader.feed(next(5, 1, test::text("c"))) == Event::malformed);
  CHECK(reader.feed(first(5, 2, test::text("d"))) == Event::need_more);
}

TEST_CASE("a message that starts again before its end is malformed") {
  MessageReader reader(kLimits);
  reader.feed(first(5, 2, test::text("a")));
  CHECK(reader.feed(first(5, 2, test::text("a"))) == Event::malformed);
}

TEST_CASE("more messages under way than allowed are malformed") {
  MessageReader reader(kLimits);
  for (std::uint64_t i = 0; i < kLimits.max_messages; ++i) {
    CHECK(reader.feed(first(i, 2, test::text("a"))) == Event::need_more);
  }
  CHECK(reader.feed(first(99, 2, test::text("a"))) == Event::malformed);
}

TEST_CASE("a message over the cap keeps its head and the stream in step") {
  MessageReader reader(kLimits);
  const Bytes piece(std::size_t{400} << 10, 'x');
  CHECK(reader.feed(first(1, 5, test::text("head") + piece)) == Event::need_more);
  for (std::uint64_t left = 4; left > 1; --left) {
    CHECK(reader.feed(next(1, left, piece)) == Event::need_more);
  }
  CHECK(reader.held_bytes() < piece.size());
  REQUIRE(reader.feed(next(1, 1, piece)) == Event::message);
  const Message message = reader.take();
  CHECK(message.missing == Missing::too_large);
  CHECK(message.length == 4 + 5 * piece.size());
  CHECK(message.bytes.size() < piece.size());
  CHECK(std::string(message.bytes.begin(), message.bytes.begin() + 5) == "headx");
  CHECK(reader.held_bytes() == 0);
  CHECK(reader.feed(first(1, 1, test::text("next"))) == Event::message);
}

TEST_CASE("when too much is under way at once the last to come has no room") {
  MessageReader reader(kLimits);
  const Bytes piece(std::size_t{900} << 10, 'x');
  CHECK(reader.feed(first(1, 2, piece)) == Event::need_more);
  CHECK(reader.feed(first(2, 2, piece)) == Event::need_more);
  CHECK(reader.feed(first(3, 2, piece)) == Event::need_more);
  CHECK(reader.held_bytes() <= kLimits.max_bytes);
  REQUIRE(reader.feed(next(3, 1, piece)) == Event::message);
  CHECK(reader.take().missing == Missing::no_room);
  REQUIRE(reader.feed(next(1, 1, test::text("end"))) == Event::message);
  CHECK(reader.take().missing == Missing::nothing);
}

TEST_CASE("what a fragment count claims costs nothing") {
  MessageReader reader(kLimits);
  CHECK(reader.feed(first(1, ~std::uint64_t{0}, test::text("a"))) == Event::need_more);
  CHECK(reader.held_bytes() == 1);
}

}  // namespace
}  // namespace ml_worker::distribution
