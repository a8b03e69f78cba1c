#include "batching/policy.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <numeric>
#include <random>

#include "support/fake_encoder.h"

using namespace ml_worker;  // NOLINT(google-build-using-namespace)
using Indices = std::vector<std::size_t>;
using std::chrono::seconds;

namespace {

const test::FakeEncoder a;
const test::FakeEncoder b("other");

Indices select(const std::vector<Waiting>& queue, std::size_t tokens) {
  return select_batch(queue, {.batch_tokens = tokens});
}

Waiting bulk(std::size_t tokens) {
  Waiting text{&a, tokens};
  text.priority = Priority::bulk;
  return text;
}

Waiting due(std::size_t tokens, int when, std::uint64_t share = 0) {
  Waiting text{&a, tokens};
  text.due = Clock::time_point(seconds(when));
  text.share = share;
  return text;
}

std::size_t tokens_of(const std::vector<Waiting>& queue, const Indices& indices) {
  return std::accumulate(indices.begin(), indices.end(), std::size_t{0},
                         [&](std::size_t sum, std::size_t i) { return sum + queue[i].tokens; });
}

bool together(const Waiting& x, const Waiting& y) {
  return x.encoder == y.encoder && x.output == y.output && x.priority == y.priority;
}

std::vector<Waiting> random_queue(std::mt19937& random) {
  const auto below = [&](std::size_t n) { return random() % n; };
  std::vector<Waiting> queue(1 + below(40));
  for (Waiting& text : queue) {
    text = {below(4) == 0 ? &b : &a, 1 + below(60)};
    if (below(5) == 0) text.output = EncoderOutput::tokens;
    if (below(3) == 0) text.priority = Priority::bulk;
    text.share = below(400);
    text.due = Clock::time_point(seconds(below(100)));
  }
  return queue;
}

}  // namespace

TEST_CASE("an empty queue gives an empty batch") { CHECK(select({}, 100).empty()); }

TEST_CASE("a lone text goes at once, whatever its length") {
  CHECK(select({{&a, 5}}, 100) == Indices{0});
  CHECK(select({{&a, 500}}, 100) == Indices{0});
  CHECK(select({{&a, 5}}, 0) == Indices{0});
}

TEST_CASE("a text longer than the budget goes alone") {
  CHECK(select({{&a, 500}, {&a, 1}, {&a, 1}}, 100) == Indices{0});
  CHECK(select({{&a, 1}, {&a, 500}, {&a, 1}}, 100) == Indices{0, 2});
}

TEST_CASE("texts of equal rights are taken first come first served up to the budget") {
  CHECK(select({{&a, 40}, {&a, 40}, {&a, 20}, {&a, 1}}, 100) == Indices{0, 1, 2});
}

TEST_CASE("a text that does not fit is passed over by those that do") {
  CHECK(select({{&a, 60}, {&a, 50}, {&a, 40}, {&a, 1}}, 100) == Indices{0, 2});
}

TEST_CASE("a batch is of one encoder, that of the first text") {
  CHECK(select({{&b, 10}, {&a, 10}, {&b, 10}, {&a, 10}}, 100) == Indices{0, 2});
}

TEST_CASE("a batch has one kind of output, that of the first text") {
  CHECK(select({{&a, 10, EncoderOutput::tokens}, {&a, 10}, {&a, 10, EncoderOutput::tokens}}, 100) ==
        Indices{0, 2});
}

TEST_CASE("the earliest deadline goes first") {
  CHECK(select({due(60, 9), due(60, 3), due(60, 5)}, 100) == Indices{1});
  CHECK(select({due(40, 9), due(40, 3), due(40, 5)}, 100) == Indices{1, 2});
}

TEST_CASE("a deadline does not help a caller that is more than a budget ahead of others") {
  CHECK(select({due(60, 1, 500), due(60, 9, 0)}, 100) == Indices{1});
  CHECK(select({due(60, 1, 100), due(60, 9, 0)}, 100) == Indices{0});
}

TEST_CASE("who is ahead waits for those behind, deadline or not") {
  CHECK(select({due(60, 1, 900), due(60, 2, 700), due(60, 9, 0)}, 130) == Indices{1, 2});
}

TEST_CASE("interactive texts go before bulk, and not in one batch with it") {
  CHECK(select({bulk(10), {&a, 10}, bulk(10), {&a, 10}}, 100) == Indices{1, 3});
  CHECK(select({bulk(10), bulk(10)}, 100) == Indices{0, 1});
}

TEST_CASE("bulk has a turn after four budgets of interactive texts") {
  const std::vector<Waiting> queue = {{&a, 10}, bulk(10)};
  CHECK(select_batch(queue, {.batch_tokens = 100, .interactive_tokens = 399}) == Indices{0});
  CHECK(select_batch(queue, {.batch_tokens = 100, .interactive_tokens = 400}) == Indices{1});
  CHECK(select_batch(std::vector<Waiting>{{&a, 10}},
                     {.batch_tokens = 100, .interactive_tokens = 400}) == Indices{0});
}

TEST_CASE("idle lanes divide what is less than a budget, but not into small change") {
  const std::vector<Waiting> queue(64, {&a, 10});
  CHECK(select_batch(queue, {.batch_tokens = 1000, .idle_lanes = 2}).size() == 32);
  CHECK(select_batch(queue, {.batch_tokens = 1000, .idle_lanes = 4}).size() == 25);
  CHECK(select_batch(queue, {.batch_tokens = 200, .idle_lanes = 2}).size() == 20);
}

TEST_CASE("whatever waits, a batch keeps every rule") {
  std::mt19937 random(20240607);  // NOLINT(cert-msc51-cpp): the same cases every time
  for (int round = 0; round < 3000; ++round) {
    const auto queue = random_queue(random);
    const std::size_t budget = 1 + random() % 150;
    const Turn turn{.batch_tokens = budget, .interactive_tokens = random() % 800};
    const Indices batch = select_batch(queue, turn);
    REQUIRE_FALSE(batch.empty());
    REQUIRE(std::adjacent_find(batch.begin(), batch.end(), std::greater_equal<>()) == batch.end());
    REQUIRE(batch.back() < queue.size());
    const Waiting& first = queue[batch.front()];
    const std::size_t used = tokens_of(queue, batch);
    REQUIRE((used <= budget || batch.size() == 1));
    for (std::size_t i = 0; i < queue.size(); ++i) {
      const bool taken = std::binary_search(batch.begin(), batch.end(), i);
      if (taken) REQUIRE(together(queue[i], first));
      // Nothing that fits is left behind.
      if (!taken && together(queue[i], first)) REQUIRE(queue[i].tokens + used > budget);
    }
  }
}

TEST_CASE("whatever waits, the most urgent text of the class is taken") {
  std::mt19937 random(7);  // NOLINT(cert-msc51-cpp): the same cases every time
  for (int round = 0; round < 3000; ++round) {
    const auto queue = random_queue(random);
    const std::size_t budget = 1 + random() % 150;
    const Indices batch = select_batch(queue, {.batch_tokens = budget});
    const Priority served = queue[batch.front()].priority;
    std::uint64_t head = UINT64_MAX;
    for (const Waiting& text : queue) {
      if (text.priority == served) head = std::min(head, text.share);
    }
    std::size_t urgent = queue.size();
    for (std::size_t i = 0; i < queue.size(); ++i) {
      const bool equal_rights = queue[i].priority == served && queue[i].share <= head + budget;
      if (!equal_rights) continue;
      if (urgent == queue.size() || std::tie(queue[i].due, queue[i].share) <
                                        std::tie(queue[urgent].due, queue[urgent].share)) {
        urgent = i;
      }
    }
    REQUIRE(std::binary_search(batch.begin(), batch.end(), urgent));
    const bool interactive_waits = std::any_of(queue.begin(), queue.end(), [](const Waiting& text) {
      return text.priority == Priority::interactive;
    });
    REQUIRE((served == Priority::interactive) == interactive_waits);
  }
}

TEST_CASE("every queue is worked off, each text once") {
  std::mt19937 random(99);  // NOLINT(cert-msc51-cpp): the same cases every time
  for (int round = 0; round < 300; ++round) {
    auto queue = random_queue(random);
    std::size_t interactive_tokens = 0;
    std::size_t computed = 0;
    const std::size_t texts = queue.size();
    while (!queue.empty()) {
      Indices batch =
          select_batch(queue, {.batch_tokens = 100, .interactive_tokens = interactive_tokens});
      REQUIRE_FALSE(batch.empty());
      const bool interactive = queue[batch.front()].priority == Priority::interactive;
      interactive_tokens = interactive ? interactive_tokens + tokens_of(queue, batch) : 0;
      computed += batch.size();
      std::for_each(batch.rbegin(), batch.rend(),
                    [&](std::size_t i) { queue.erase(queue.begin() + std::ptrdiff_t(i)); });
    }
    REQUIRE(computed == texts);
  }
}
