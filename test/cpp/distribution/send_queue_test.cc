#include "distribution/send_queue.h"

#include <catch2/catch.hpp>

#include "distribution/bytes.h"
#include "distribution/messages.h"

namespace ml_worker::distribution {
namespace {

using test::operator+;

OutMessage message(const Bytes& control) { return {control, std::nullopt}; }
OutMessage message(const Bytes& control, std::size_t payload_bytes, char fill) {
  return {control, TermParts{test::text("payload"), share(Bytes(payload_bytes, fill))}};
}

/// Writes up to `count` bytes of what comes next.
Bytes take(SendQueue& queue, std::size_t count) {
  Bytes out;
  for (const ByteView view : queue.next()) {
    put_bytes(out, view.first(std::min(view.size(), count - out.size())));
  }
  queue.written(out.size());
  return out;
}

Bytes drain(SendQueue& queue, std::size_t step = ~std::size_t{0}) {
  Bytes out;
  while (!queue.empty()) put_bytes(out, take(queue, step));
  return out;
}

std::vector<Bytes> frames(const Bytes& stream) {
  FrameSplitter splitter(4, std::size_t{1} << 30);
  std::vector<Bytes> out;
  ByteView rest(stream);
  while (!rest.empty()) {
    const auto event = splitter.feed(rest);
    if (event == FrameSplitter::Event::empty) out.push_back({});
    if (event == FrameSplitter::Event::frame) out.push_back(splitter.take().bytes);
  }
  return out;
}

/// The messages of a stream, in the order of their ends; ticks are empty.
std::vector<Bytes> messages(const Bytes& stream) {
  MessageReader reader({std::size_t{1} << 30, std::size_t{1} << 30, 1000});
  std::vector<Bytes> out;
  for (const Bytes& bytes : frames(stream)) {
    if (bytes.empty()) {
      out.emplace_back();
      continue;
    }
    const auto event = reader.feed({bytes, bytes.size(), false});
    CHECK(event != MessageReader::Event::malformed);
    if (event != MessageReader::Event::message) continue;
    const Message message = reader.take();
    out.emplace_back(message.bytes.begin() + static_cast<std::ptrdiff_t>(message.start),
                     message.bytes.end());
  }
  return out;
}

Bytes content(const OutMessage& message) { return message.control + test::whole(*message.payload); }

TEST_CASE("what several messages end in is in memory once") {
  for (const bool fragments : {true, false}) {
    SendQueue queue(fragments);
    const SharedBytes tail = share(Bytes(100000, 'x'));
    const ByteView shared(*tail);
    std::size_t sent = 0;
    for (int i = 0; i < 3; ++i) queue.push({test::text("control"), TermParts{{}, tail}});
    while (!queue.empty()) {
      std::size_t count = 0;
      for (const ByteView view : queue.next()) {
        count += view.size();
        if (view.data() >= shared.data() && view.data() < shared.data() + shared.size()) {
          sent += view.size();
        }
      }
      queue.written(count);
    }
    CHECK(sent == 3 * shared.size());
  }
}

TEST_CASE("without fragments messages are pass-through frames, in order") {
  SendQueue queue(false);
  queue.push(message(test::text("one")));
  queue.push(message(test::text("two"), 300000, 'x'));
  queue.push_tick();
  const std::size_t bytes = queue.bytes();
  const Bytes stream = drain(queue);
  CHECK(stream.size() == bytes);
  const auto sent = frames(stream);
  REQUIRE(sent.size() == 3);
  CHECK(sent[0] == test::text("p\x83one"));
  CHECK(sent[1] == test::text("p\x83two\x83payload") + Bytes(300000, 'x'));
  CHECK(sent[2].empty());
}

TEST_CASE("with fragments small messages have a distribution header without atoms") {
  SendQueue queue(true);
  queue.push(message(test::text("one")));
  queue.push(message(test::text("two"), 2, 'x'));
  const auto sent = frames(drain(queue));
  REQUIRE(sent.size() == 2);
  CHECK(sent[0] == test::bytes({131, 'D', 0}) + test::text("one"));
  CHECK(sent[1] == test::bytes({131, 'D', 0}) + test::text("twopayloadxx"));
}

TEST_CASE("a large message goes in fragments of 64 KiB that count down") {
  SendQueue queue(true);
  const OutMessage large = message(test::text("control"), 150000, 'x');
  queue.push(large);
  const std::size_t bytes = queue.bytes();
  const Bytes stream = drain(queue);
  CHECK(stream.size() == bytes);
  const auto sent = frames(stream);
  REQUIRE(sent.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    const FrameHeader header = parse_frame_header(sent[i]);
    CHECK(header.fragment == 3 - i);
    CHECK(sent[i].size() - header.bytes <= SendQueue::kFragmentBytes);
  }
  CHECK(messages(stream) == std::vector<Bytes>{content(large)});
}

TEST_CASE("a message is whole again whatever its size, and however the transport takes it") {
  for (const std::size_t size : {65000, 65522, 65523, 65524, 131000, 131058, 131059, 200000}) {
    for (const std::size_t step : {std::size_t{1000}, std::size_t{65536}, std::size_t{1} << 20}) {
      SendQueue queue(true);
      const OutMessage large = message(test::text("control"), size, 'x');
      queue.push(large);
      const std::size_t bytes = queue.bytes();
      const Bytes stream = drain(queue, step);
      CHECK(stream.size() == bytes);
      CHECK(messages(stream) == std::vector<Bytes>{content(large)});
    }
  }
}

TEST_CASE("what was written of a payload before its tail may be large too") {
  SendQueue queue(true);
  const OutMessage large{test::text("control"),
                         TermParts{Bytes(100000, 'h'), share(Bytes(100000, 't'))}};
  queue.push(large);
  CHECK(messages(drain(queue)) == std::vector<Bytes>{content(large)});
}

TEST_CASE("what has no payload goes whole, however large its control term is") {
  SendQueue queue(true);
  const Bytes control(100000, 'c');
  queue.push(message(control));
  queue.push({control, TermParts{}});
  const std::size_t bytes = queue.bytes();
  const Bytes stream = drain(queue, 1000);
  CHECK(stream.size() == bytes);
  const Bytes whole = test::bytes({131, 'D', 0}) + control;
  CHECK(frames(stream) == std::vector<Bytes>{whole, whole});
}

TEST_CASE("a control term stands whole in the first fragment, or its message goes whole") {
  for (const int over : {-1, 0, 1, 50000}) {
    SendQueue queue(true);
    const OutMessage large = message(
        Bytes(SendQueue::kFragmentBytes + static_cast<std::size_t>(over), 'c'), 100000, 'x');
    queue.push(large);
    const std::size_t bytes = queue.bytes();
    const Bytes stream = drain(queue);
    CHECK(stream.size() == bytes);
    CHECK(messages(stream) == std::vector<Bytes>{content(large)});
    const auto sent = frames(stream);
    CHECK((sent.size() == 1) == (over > 0));
    CHECK(sent.at(0).size() > large.control.size());
  }
}

TEST_CASE("a small message overtakes a large one that is under way") {
  SendQueue queue(true);
  const OutMessage large = message(test::text("control"), std::size_t{50} << 20, 'x');
  queue.push(large);
  Bytes stream = take(queue, 100000);
  queue.push(message(test::text("small")));
  queue.push_tick();
  put_bytes(stream, drain(queue));
  // Behind what was chosen already, which is a few fragments, not 50 MB.
  const auto sent = frames(stream);
  const auto small =
      std::find(sent.begin(), sent.end(), test::bytes({131, 'D', 0}) + test::text("small"));
  CHECK(small - sent.begin() <= 5);
  CHECK(messages(stream) == std::vector<Bytes>{test::text("small"), {}, content(large)});
}

TEST_CASE("large messages take turns, so that the shorter one ends first") {
  SendQueue queue(true);
  const OutMessage longer = message(test::text("longer"), std::size_t{5} << 20, 'l');
  const OutMessage shorter = message(test::text("shorter"), 200000, 's');
  queue.push(longer);
  queue.push(shorter);
  CHECK(messages(drain(queue)) == std::vector<Bytes>{content(shorter), content(longer)});
}

TEST_CASE("a large message never overtakes small ones that were there before it") {
  SendQueue queue(true);
  for (int i = 0; i < 100; ++i) queue.push(message(test::text("before"), 60000, 'b'));
  queue.push(message(test::text("large"), 70000, 'l'));
  const auto sent = messages(drain(queue));
  REQUIRE(sent.size() == 101);
  CHECK(sent.back().size() > 70000);
}

TEST_CASE("a fragment goes between small messages, never into one") {
  // Wherever in the second one the turn of the small messages ends.
  for (std::size_t short_of_a_turn = 0; short_of_a_turn < 100; ++short_of_a_turn) {
    SendQueue queue(true);
    const OutMessage large = message(test::text("large"), 200000, 'x');
    const OutMessage first =
        message(test::text("first"), SendQueue::kFragmentBytes - 20 - short_of_a_turn, 'y');
    const OutMessage second = message(test::text("second"), 5000, 'z');
    queue.push(large);
    queue.push(first);
    queue.push(second);
    // In brackets: not shown byte by byte.
    CHECK((messages(drain(queue)) ==
           std::vector<Bytes>{content(first), content(second), content(large)}));
  }
}

TEST_CASE("many small messages do not stop a large one") {
  SendQueue queue(true);
  queue.push(message(test::text("large"), 200000, 'l'));
  std::size_t ends = 0;
  Bytes stream;
  for (int i = 0; i < 1000; ++i) {
    queue.push(message(test::text("small"), 60000, 's'));
    put_bytes(stream, take(queue, 60000));
  }
  for (const Bytes& each : messages(stream)) ends += each.size() > 200000 ? 1 : 0;
  CHECK(ends == 1);
}

TEST_CASE("a cleared queue is empty") {
  SendQueue queue(true);
  queue.push(message(test::text("large"), 200000, 'l'));
  take(queue, 10);
  queue.push_tick();
  queue.clear();
  CHECK(queue.empty());
  CHECK(queue.next().empty());
}

TEST_CASE("the buffer of a large message that is out is the next one's") {
  constexpr std::size_t kBytes = std::size_t{40} << 20;
  Bytes tail = terms::buffer_for(kBytes);
  tail.assign(kBytes, 'x');
  const char* const place = tail.data();
  SendQueue queue(true);
  queue.push({test::text("control"), TermParts{{}, share(std::move(tail))}});
  while (!queue.empty()) take(queue, ~std::size_t{0});
  CHECK(terms::buffer_for(kBytes).data() == place);
}

}  // namespace
}  // namespace ml_worker::distribution
