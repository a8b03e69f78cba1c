#include "batching/queue.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "support/fake_encoder.h"

using namespace ml_worker;  // NOLINT(google-build-using-namespace)
using test::FakeEncoder;

namespace {

constexpr BatchingOptions kOptions = {.batch_tokens = 100, .queue_tokens = 1000, .lanes = 2};

struct Fixture {
  WorkItem item(Priority priority = Priority::interactive, std::size_t tokens = 10) {
    WorkItem work;
    work.encoder = encoder;
    work.priority = priority;
    work.caller = priority == Priority::bulk ? 1 : 2;
    work.input.ids.resize(tokens);
    return work;
  }
  void add(Queue& queue, std::size_t count, Priority priority = Priority::interactive) {
    std::vector<WorkItem> items;
    for (std::size_t i = 0; i < count; ++i) items.push_back(item(priority));
    queue.add(std::move(items), Clock::now());
  }
  std::vector<WorkItem> some(std::size_t count, Priority priority = Priority::interactive) {
    std::vector<WorkItem> items;
    for (std::size_t i = 0; i < count; ++i) items.push_back(item(priority));
    return items;
  }

  std::shared_ptr<FakeEncoder> encoder = std::make_shared<FakeEncoder>();
};

bool all_of_class(const std::vector<WorkItem>& batch, Priority priority) {
  return std::all_of(batch.begin(), batch.end(),
                     [&](const WorkItem& item) { return item.priority == priority; });
}

}  // namespace

TEST_CASE("the queue counts what it holds") {
  Fixture f;
  Queue queue(kOptions);
  f.add(queue, 30);
  CHECK(queue.texts() == 30);
  CHECK(queue.tokens() == 300);
  CHECK(queue.next_batch(0, 1).batch.size() == 10);
  CHECK(queue.texts() == 20);
  CHECK(queue.tokens() == 200);
  CHECK(queue.take_all().size() == 20);
  CHECK(queue.texts() + queue.tokens() == 0);
  CHECK_FALSE(queue.has_work_for(0));
}

TEST_CASE("the bound: bulk fills three quarters, interactive the rest, an empty queue takes all") {
  Fixture f;
  Queue queue(kOptions);
  CHECK(queue.tokens_over_bound(f.some(500)) == 0);
  f.add(queue, 70, Priority::bulk);
  CHECK(queue.tokens_over_bound(f.some(5, Priority::bulk)) == 0);
  CHECK(queue.tokens_over_bound(f.some(6, Priority::bulk)) == 10);
  CHECK(queue.tokens_over_bound(f.some(30)) == 0);
  CHECK(queue.tokens_over_bound(f.some(33)) == 30);
  CHECK_FALSE(queue.full());
  f.add(queue, 30);
  CHECK(queue.full());
}

TEST_CASE("an interactive text waits for at most one batch more, however much bulk waits") {
  Fixture f;
  Queue queue({.batch_tokens = 100, .queue_tokens = 10000000});
  f.add(queue, 100000, Priority::bulk);
  for (int round = 0; round < 200; ++round) {
    const auto running = queue.next_batch(0, 1).batch;  // while it runs the text comes
    f.add(queue, 1);
    const auto next = queue.next_batch(0, 1).batch;
    if (all_of_class(next, Priority::interactive)) continue;
    // Bulk's turn; then nothing is before the text.
    REQUIRE(all_of_class(running, Priority::interactive));
    REQUIRE(all_of_class(queue.next_batch(0, 1).batch, Priority::interactive));
  }
}

TEST_CASE("bulk does not starve while more interactive texts wait than can be computed") {
  Fixture f;
  Queue queue({.batch_tokens = 100, .queue_tokens = 10000000});
  f.add(queue, 1000, Priority::bulk);
  std::size_t bulk = 0;
  for (int round = 0; round < 100; ++round) {
    f.add(queue, 12);
    bulk += all_of_class(queue.next_batch(0, 1).batch, Priority::bulk) ? 1 : 0;
  }
  CHECK(bulk == 20);
}

TEST_CASE("what a batch costs to choose does not grow with what waits") {
  Fixture f;
  Queue queue({.batch_tokens = 100, .queue_tokens = 100000000});
  std::size_t asked = 0;
  std::vector<WorkItem> items;
  for (int i = 0; i < 100000; ++i) {
    items.push_back(f.item(i % 2 == 0 ? Priority::bulk : Priority::interactive));
    items.back().caller = static_cast<std::uint64_t>(i % 5000);
    items.back().interest = [&asked] {
      ++asked;
      return Interest::wanted;
    };
  }
  queue.add(std::move(items), Clock::now());
  for (int i = 0; i < 20; ++i) {
    asked = 0;
    CHECK(queue.next_batch(0, 1).batch.size() == 10);
    CHECK(asked <= 300);  // two budgets of each class and the sweep
  }
}

TEST_CASE("cancelled and late texts leave long before their turn, and are not asked twice") {
  Fixture f;
  Queue queue({.batch_tokens = 100, .queue_tokens = 10000000});
  std::vector<int> asked(20000, 0);
  std::vector<WorkItem> items;
  for (std::size_t i = 0; i < asked.size(); ++i) {
    items.push_back(f.item());
    items.back().interest = [&asked, i] {
      ++asked[i];
      return i % 4 == 1 ? Interest::cancelled : i % 4 == 3 ? Interest::late : Interest::wanted;
    };
  }
  queue.add(std::move(items), Clock::now());
  std::size_t cancelled = 0;
  std::size_t late = 0;
  for (int i = 0; i < 200; ++i) {
    const Selection next = queue.next_batch(0, 1);
    cancelled += next.cancelled.size();
    late += next.late.size();
  }
  CHECK(cancelled == 5000);
  CHECK(late == 5000);
  CHECK(queue.texts() == 10000 - 2000);
  for (std::size_t i = 1; i < asked.size(); i += 2) CHECK(asked[i] == 1);
}

TEST_CASE("a lane takes only what its replicas can compute") {
  Fixture f;
  Queue queue(kOptions);
  f.add(queue, 5);  // an encoder with one replica
  CHECK(queue.has_work_for(0));
  CHECK_FALSE(queue.has_work_for(1));
  CHECK(queue.next_batch(1, 1).batch.empty());
  const auto two = std::make_shared<FakeEncoder>("two");
  two->replica_count = 2;
  std::vector<WorkItem> items = f.some(3);
  for (WorkItem& item : items) item.encoder = two;
  queue.add(std::move(items), Clock::now());
  CHECK(queue.has_work_for(1));
  CHECK(queue.next_batch(1, 1).batch.size() == 3);
  CHECK(queue.next_batch(0, 1).batch.size() == 5);
}
