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
  CHECK(queue.tokens_over_bound(f.some(20), 100) == 0);
  CHECK(queue.tokens_over_bound(f.some(20), 110) == 10);
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
    CHECK(asked <= 320);  // three budgets of each class and the sweep
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

TEST_CASE("a call of many texts is not passed for ever by calls of one text") {
  Fixture f;
  Queue queue({.batch_tokens = 2048, .queue_tokens = 10000000});
  std::uint64_t caller = 0;
  const auto add = [&](std::size_t texts) {
    std::vector<WorkItem> items;
    ++caller;
    for (std::size_t i = 0; i < texts; ++i) {
      items.push_back(f.item(Priority::interactive, 20));
      items.back().caller = caller;
    }
    queue.add(std::move(items), Clock::now());
  };
  constexpr std::size_t kCallers = 256;
  for (std::size_t i = 0; i < kCallers; ++i) add(1);
  add(200);
  const std::uint64_t large = caller;
  std::size_t given = 0;
  int batches = 0;
  // Its even share of each batch is less than half a text.
  for (; given < 200 && batches < 600; ++batches) {
    std::size_t others = 0;
    for (const WorkItem& item : queue.next_batch(0, 1).batch)
      ++(item.caller == large ? given : others);
    for (std::size_t i = 0; i < others; ++i) add(1);
    // What is within a budget is as good as nothing: then who came first goes first.
    if (batches == 3) CHECK(given >= 100);
  }
  CHECK(given == 200);
}

TEST_CASE("the earliest deadline goes first, however many wait that have had as much") {
  Fixture f;
  Queue queue(kOptions);
  std::vector<WorkItem> items = f.some(5001);
  for (std::size_t i = 0; i < items.size(); ++i) items[i].caller = i;
  items.back().deadline = Clock::now() + std::chrono::seconds(1);
  queue.add(std::move(items), Clock::now());
  const auto batch = queue.next_batch(0, 1).batch;
  CHECK(std::any_of(batch.begin(), batch.end(),
                    [](const WorkItem& item) { return item.caller == 5000; }));
}

TEST_CASE("a large job that is cancelled makes room within a few batches") {
  Fixture f;
  Queue queue({.batch_tokens = 100, .queue_tokens = 10000000});
  std::vector<WorkItem> job = f.some(100000, Priority::bulk);
  for (WorkItem& item : job) item.interest = [] { return Interest::cancelled; };
  queue.add(std::move(job), Clock::now());
  for (int i = 0; i < 20; ++i) {
    f.add(queue, 12);
    queue.next_batch(0, 1);
  }
  CHECK(queue.texts() < 100);
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
