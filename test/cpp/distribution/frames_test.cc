#include "distribution/frames.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "distribution/bytes.h"

namespace ml_worker::distribution {
namespace {

using test::bytes;
using test::operator+;
using test::text;
using test::with_length;
using Event = FrameSplitter::Event;

/// What comes out of `stream` when it arrives in pieces of `piece` bytes; "" for a tick.
std::vector<std::string> split(FrameSplitter& splitter, ByteView stream, std::size_t piece) {
  std::vector<std::string> out;
  while (!stream.empty()) {
    ByteView input = stream.first(std::min(piece, stream.size()));
    stream = stream.subspan(input.size());
    for (Event event = splitter.feed(input); event != Event::need_more || !input.empty();
         event = splitter.feed(input)) {
      if (event == Event::empty) out.emplace_back();
      if (event != Event::frame) continue;
      const Frame frame = splitter.take();
      out.emplace_back(frame.bytes.begin(), frame.bytes.end());
    }
  }
  return out;
}

TEST_CASE("frames and ticks come out the same however the stream is cut") {
  const Bytes stream = with_length(4, text("hello")) + bytes({0, 0, 0, 0}) +
                       with_length(4, text("x")) + with_length(4, Bytes(300, 'y')) +
                       bytes({0, 0, 0, 0});
  const std::vector<std::string> expected = {"hello", "", "x", std::string(300, 'y'), ""};
  for (std::size_t piece = 1; piece <= stream.size(); ++piece) {
    FrameSplitter splitter(4, 1000);
    CHECK(split(splitter, stream, piece) == expected);
  }
}

TEST_CASE("a handshake has lengths of two bytes") {
  FrameSplitter splitter(2, 1000);
  const Bytes stream = with_length(2, text("sok"));
  CHECK(split(splitter, stream, 1) == std::vector<std::string>{"sok"});
}

TEST_CASE("of a frame over the cap the head is kept and the rest read past") {
  const std::size_t large = FrameSplitter::kHeadBytes + 1000;
  const Bytes stream = with_length(4, Bytes(large, 'z')) + with_length(4, text("next"));
  for (const std::size_t piece : {std::size_t{1}, std::size_t{4096}, stream.size()}) {
    FrameSplitter splitter(4, FrameSplitter::kHeadBytes + 10);
    const auto frames = split(splitter, stream, piece);
    REQUIRE(frames.size() == 2);
    CHECK(frames[0].size() == FrameSplitter::kHeadBytes);
    CHECK(frames[1] == "next");
  }
}

TEST_CASE("a huge claimed length costs no memory") {
  for (const std::uint32_t length : {0x7fffffffU, 0x80000000U, 0xffffffffU}) {
    FrameSplitter splitter(4, std::size_t{1} << 27);
    Bytes stream;
    put_number(stream, 4, length);
    put_bytes(stream, Bytes(FrameSplitter::kHeadBytes, 'a'));
    ByteView input(stream);
    REQUIRE(splitter.feed(input) == Event::frame);
    const Frame frame = splitter.take();
    CHECK(frame.cut);
    CHECK(frame.length == length);
    CHECK(frame.bytes.capacity() <= 2 * FrameSplitter::kHeadBytes);
    const Bytes more(1000, 'b');
    ByteView rest(more);
    CHECK(splitter.feed(rest) == Event::need_more);
    CHECK(rest.empty());
  }
}

TEST_CASE("memory follows what has arrived, not what a length under the cap claims") {
  FrameSplitter splitter(4, std::size_t{1} << 30);
  Bytes stream;
  put_number(stream, 4, std::size_t{1} << 30);
  put_bytes(stream, Bytes(100, 'a'));
  ByteView input(stream);
  CHECK(splitter.feed(input) == Event::need_more);
}

TEST_CASE("what grows to tens of megabytes is moved while it is small, and not again") {
  constexpr std::size_t kExpected = std::size_t{50} << 20;
  const Bytes piece(65536, 'x');
  Bytes whole;
  std::size_t moves = 0;
  while (whole.size() < kExpected) {
    const std::size_t capacity = whole.capacity();
    const bool large = whole.size() >= (std::size_t{1} << 20);
    append_expecting(whole, piece, kExpected);
    if (large && whole.capacity() != capacity) ++moves;
  }
  CHECK(moves == 0);
  Bytes few;
  append_expecting(few, ByteView(piece).first(100), kExpected);
  CHECK(few.capacity() <= 800);
}

}  // namespace
}  // namespace ml_worker::distribution
