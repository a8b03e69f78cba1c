#include <catch2/catch.hpp>
#include <future>
#include <thread>

#include "ml_worker/batching.h"
#include "support/fake_encoder.h"

using namespace ml_worker;  // NOLINT(google-build-using-namespace)
using test::FakeEncoder;
using test::FakeTokenizer;

namespace {

/// The `done` calls of some items, in their order.
class Outcomes {
 public:
  struct Outcome {
    int item;
    std::optional<Error> error;
    std::vector<float> vector;
    ForwardTimes times;
  };

  auto done(int item) {
    return [this, item](Result<std::span<const float>> result, const ForwardTimes& times) {
      Outcome outcome{item, {}, {}, times};
      if (result) {
        outcome.vector.assign(result->begin(), result->end());
      } else {
        outcome.error = result.error();
      }
      const std::lock_guard lock(mutex_);
      outcomes_.push_back(std::move(outcome));
      changed_.notify_all();
    };
  }

  std::vector<Outcome> wait_for(std::size_t count) {
    std::unique_lock lock(mutex_);
    REQUIRE(changed_.wait_for(lock, std::chrono::seconds(20),
                              [&] { return outcomes_.size() >= count; }));
    return outcomes_;
  }
  std::size_t count() {
    const std::lock_guard lock(mutex_);
    return outcomes_.size();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Outcome> outcomes_;
};

/// A batcher whose device can be held, so that what waits is known.
struct Fixture {
  explicit Fixture(BatchingOptions options = {}) : batcher(options) {}

  WorkItem item(int number, std::string_view words) {
    WorkItem item;
    item.encoder = encoder;
    item.input.ids = FakeTokenizer().encode(words, 1000, TruncationSide::right).ids;
    item.done = outcomes.done(number);
    return item;
  }
  std::optional<Error> submit(WorkItem work) {
    std::vector<WorkItem> items;
    items.push_back(std::move(work));
    return batcher.submit(std::move(items));
  }
  /// Holds the device in a forward pass of item 0.
  void hold_device() {
    encoder->close();
    REQUIRE_FALSE(submit(item(0, "first")));
    encoder->wait_until_held();
  }

  std::shared_ptr<FakeEncoder> encoder = std::make_shared<FakeEncoder>();
  Outcomes outcomes;
  Batcher batcher;
};

std::vector<float> vector_of(const WorkItem& item) {
  return FakeEncoder::raw_vector(item.input.ids, item.encoder->description().dimensions);
}

/// A token's vector is that of a text of the token alone.
std::vector<float> token_rows_of(const WorkItem& item) {
  std::vector<float> rows;
  const std::span<const std::int32_t> ids(item.input.ids);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const auto row =
        FakeEncoder::raw_vector(ids.subspan(i, 1), item.encoder->description().token_dimensions);
    rows.insert(rows.end(), row.begin(), row.end());
  }
  return rows;
}

/// Keeps what forward() was told of its last text.
struct RecordingEncoder : FakeEncoder {
  void forward(std::span<const EncoderInput> inputs, EncoderOutput output,
               std::span<float> rows) override {
    second_start = inputs.back().second_start;
    unpooled = inputs.back().unpooled;
    FakeEncoder::forward(inputs, output, rows);
  }
  std::size_t second_start = 0;
  std::size_t unpooled = 0;
};

}  // namespace

TEST_CASE("whoever has an answer finds it counted") {
  Fixture f;
  std::promise<std::uint64_t> counted;
  WorkItem work = f.item(1, "one two three");
  work.done = [&](const auto&, const ForwardTimes&) { counted.set_value(f.batcher.stats().texts); };
  REQUIRE_FALSE(f.submit(std::move(work)));
  CHECK(counted.get_future().get() == 1);
}

TEST_CASE("each item gets the row of its own text") {
  Fixture f;
  std::vector<WorkItem> items;
  std::vector<std::vector<float>> expected;
  for (int i = 0; i < 50; ++i) {
    items.push_back(f.item(i, std::string(static_cast<std::size_t>(i), 'x') + " word"));
    expected.push_back(vector_of(items.back()));
  }
  REQUIRE_FALSE(f.batcher.submit(std::move(items)));
  for (const auto& outcome : f.outcomes.wait_for(50)) {
    CHECK_FALSE(outcome.error);
    CHECK(outcome.vector == expected.at(static_cast<std::size_t>(outcome.item)));
    CHECK(outcome.times.started <= outcome.times.finished);
  }
}

TEST_CASE("what waits while the device is busy goes in one batch") {
  Fixture f;
  f.hold_device();
  for (int i = 1; i <= 10; ++i) REQUIRE_FALSE(f.submit(f.item(i, "word")));
  CHECK(f.batcher.stats().queued_texts == 10);
  CHECK(f.batcher.stats().queued_tokens == 30);
  CHECK(f.batcher.stats().running_tokens == 3);
  f.encoder->open();
  f.outcomes.wait_for(11);
  f.batcher.drain();
  const BatchingStats stats = f.batcher.stats();
  CHECK(f.encoder->forwards == 2);
  CHECK(stats.batches == 2);
  CHECK(stats.texts == 11);
  CHECK(stats.tokens == 33);
  CHECK(stats.queued_texts + stats.queued_tokens + stats.running_tokens == 0);
  CHECK(stats.batch_texts.sum == 11);
  CHECK(stats.batch_tokens.count == 2);
}

TEST_CASE("batches keep to the budget and to one encoder") {
  Fixture f({.batch_tokens = 6});
  const auto other = std::make_shared<FakeEncoder>("other");
  f.hold_device();
  for (int i = 1; i <= 4; ++i) REQUIRE_FALSE(f.submit(f.item(i, "word")));
  WorkItem foreign = f.item(5, "word");
  foreign.encoder = other;
  REQUIRE_FALSE(f.submit(std::move(foreign)));
  f.encoder->open();
  f.outcomes.wait_for(6);
  CHECK(f.encoder->forwards == 3);
  CHECK(other->forwards == 1);
}

TEST_CASE("token vectors: each item gets the rows of its own tokens, apart from sentence vectors") {
  Fixture f;
  f.hold_device();
  std::vector<std::vector<float>> expected;
  for (int i = 1; i <= 4; ++i) {
    WorkItem item = f.item(i, std::string(static_cast<std::size_t>(i), 'x') + " a b");
    if (i % 2 == 0) item.output = EncoderOutput::tokens;
    std::vector<float> rows = vector_of(item);
    if (i % 2 == 0) rows = token_rows_of(item);
    expected.push_back(std::move(rows));
    REQUIRE_FALSE(f.submit(std::move(item)));
  }
  f.encoder->open();
  for (const auto& outcome : f.outcomes.wait_for(5)) {
    CHECK_FALSE(outcome.error);
    if (outcome.item == 0) continue;
    CHECK(outcome.vector == expected.at(static_cast<std::size_t>(outcome.item - 1)));
  }
  CHECK(f.encoder->forwards == 3);
}

TEST_CASE("the encoder sees where a pair's second text and its pooling begin") {
  Fixture f;
  const auto encoder = std::make_shared<RecordingEncoder>();
  WorkItem item = f.item(0, "a b c d");
  item.encoder = encoder;
  item.input.second_start = 3;
  item.input.unpooled = 2;
  REQUIRE_FALSE(f.submit(std::move(item)));
  f.outcomes.wait_for(1);
  CHECK(encoder->second_start == 3);
  CHECK(encoder->unpooled == 2);
}

TEST_CASE("a model with two replicas is computed on two lanes at the same time") {
  Fixture f({.batch_tokens = 3, .lanes = 2});
  f.encoder->replica_count = 2;
  f.encoder->close();
  std::vector<WorkItem> items;
  for (int i = 0; i < 3; ++i) items.push_back(f.item(i, "word"));
  REQUIRE_FALSE(f.batcher.submit(std::move(items)));
  f.encoder->wait_until_held(2);
  CHECK(f.batcher.stats().running_tokens == 6);
  CHECK(f.batcher.stats().queued_tokens == 3);
  f.encoder->open();
  f.batcher.drain();
  CHECK(f.outcomes.count() == 3);
}

TEST_CASE("texts that come one by one are computed by the same lane, the first") {
  Fixture f({.lanes = 3});
  f.encoder->replica_count = 3;
  std::promise<std::thread::id> first;
  f.batcher.run_next([&] { first.set_value(std::this_thread::get_id()); });
  const std::thread::id expected = first.get_future().get();
  int by_first = 0;
  for (int i = 0; i < 100; ++i) {
    std::promise<std::thread::id> lane;
    WorkItem item = f.item(i, "word");
    item.done = [&](const auto&, const auto&) { lane.set_value(std::this_thread::get_id()); };
    REQUIRE_FALSE(f.submit(std::move(item)));
    if (lane.get_future().get() == expected) ++by_first;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  // On a busy machine it may not have been ready again every time.
  CHECK(by_first > 75);
}

TEST_CASE("a model with one replica stays on one lane, whatever others may use") {
  Fixture f({.batch_tokens = 3, .lanes = 2});
  const auto two = std::make_shared<FakeEncoder>("two");
  two->replica_count = 2;
  f.hold_device();
  two->close();
  REQUIRE_FALSE(f.submit(f.item(1, "word")));
  WorkItem foreign = f.item(2, "word");
  foreign.encoder = two;
  REQUIRE_FALSE(f.submit(std::move(foreign)));
  two->wait_until_held();
  CHECK(f.encoder->forwards == 0);
  CHECK(f.batcher.stats().queued_texts == 1);
  two->open();
  f.encoder->open();
  f.batcher.drain();
  CHECK(f.outcomes.count() == 3);
}

TEST_CASE("an interactive text passes bulk work that came before it") {
  Fixture f({.batch_tokens = 6});
  f.hold_device();
  for (int i = 1; i <= 4; ++i) {
    WorkItem item = f.item(i, "word");
    item.priority = Priority::bulk;
    REQUIRE_FALSE(f.submit(std::move(item)));
  }
  REQUIRE_FALSE(f.submit(f.item(5, "word")));
  f.encoder->open();
  CHECK(f.outcomes.wait_for(6).at(1).item == 5);
}

TEST_CASE("the texts of one submission go by length") {
  Fixture f({.batch_tokens = 12});
  f.hold_device();
  std::vector<WorkItem> items;
  for (int i = 1; i <= 6; ++i) items.push_back(f.item(i, i % 2 == 1 ? "a b c d" : "a"));
  REQUIRE_FALSE(f.batcher.submit(std::move(items)));
  f.encoder->open();
  std::vector<int> order;
  for (const auto& outcome : f.outcomes.wait_for(7)) order.push_back(outcome.item);
  CHECK(order == std::vector<int>{0, 2, 4, 6, 1, 3, 5});
}

TEST_CASE("a text longer than the budget runs alone and hangs nothing") {
  Fixture f({.batch_tokens = 4});
  REQUIRE_FALSE(f.submit(f.item(0, "a b c d e f g")));
  REQUIRE_FALSE(f.submit(f.item(1, "a")));
  for (const auto& outcome : f.outcomes.wait_for(2)) CHECK_FALSE(outcome.error);
}

TEST_CASE("a submission over the queue's bound is refused whole, and told when to come back") {
  Fixture f({.batch_tokens = 100, .queue_tokens = 10});
  f.hold_device();
  REQUIRE_FALSE(f.submit(f.item(1, "word")));
  CHECK_FALSE(f.batcher.full());
  std::vector<WorkItem> two;
  two.push_back(f.item(2, "word"));
  two.push_back(f.item(3, "a b c"));
  const auto error = f.batcher.submit(std::move(two));
  REQUIRE(error);
  CHECK(error->kind == ErrorKind::overloaded);
  const auto& reason = std::get<ValueTuple>(error->reason.storage()).elements;
  CHECK(std::get<std::int64_t>(reason.at(1).storage()) >= 1);
  CHECK(std::get<std::int64_t>(reason.at(1).storage()) <= 61000);
  CHECK(f.batcher.stats().queued_tokens == 3);
  REQUIRE_FALSE(f.submit(f.item(4, "a b c d e")));
  CHECK(f.batcher.full());
  f.encoder->open();
  f.outcomes.wait_for(3);
  f.batcher.drain();
  CHECK(f.outcomes.count() == 3);
}

TEST_CASE("an empty queue takes even an item that is larger than its bound") {
  Fixture f({.batch_tokens = 100, .queue_tokens = 3});
  f.hold_device();
  REQUIRE_FALSE(f.submit(f.item(1, "a b c d e f")));
  CHECK(f.submit(f.item(2, "a")));
  f.encoder->open();
  CHECK_FALSE(f.outcomes.wait_for(2)[1].error);
}

TEST_CASE("what follows a submission needs room with it, and is taken then") {
  Fixture f({.batch_tokens = 100, .queue_tokens = 10});
  f.hold_device();
  REQUIRE_FALSE(f.submit(f.item(1, "word")));
  const auto submit = [&f](int number, std::size_t to_come) {
    std::vector<WorkItem> items;
    items.push_back(f.item(number, "word"));
    return f.batcher.submit(std::move(items), to_come);
  };
  CHECK(submit(2, 5)->kind == ErrorKind::overloaded);
  CHECK_FALSE(submit(2, 4));
  REQUIRE_FALSE(f.submit(f.item(3, "a b")));
  CHECK(f.batcher.full());
  std::vector<WorkItem> rest;
  rest.push_back(f.item(4, "a b"));
  CHECK_FALSE(f.batcher.submit_rest(std::move(rest)));
  f.encoder->open();
  f.batcher.drain();
  CHECK(f.outcomes.count() == 5);
  CHECK(f.batcher.submit_rest({}) == errors::draining());
}

TEST_CASE("cancelled and late texts cost no forward pass") {
  Fixture f;
  f.hold_device();
  WorkItem cancelled = f.item(1, "gone");
  cancelled.interest = [] { return Interest::cancelled; };
  WorkItem late = f.item(2, "late");
  late.interest = [] { return Interest::late; };
  WorkItem wanted = f.item(3, "wanted");
  wanted.interest = [] { return Interest::wanted; };
  REQUIRE_FALSE(f.submit(std::move(cancelled)));
  REQUIRE_FALSE(f.submit(std::move(late)));
  REQUIRE_FALSE(f.submit(std::move(wanted)));
  f.encoder->open();
  for (const auto& outcome : f.outcomes.wait_for(4)) {
    const bool refused = outcome.item == 1 || outcome.item == 2;
    REQUIRE(outcome.error.has_value() == refused);
    if (refused) CHECK(outcome.error->kind == ErrorKind::deadline_exceeded);
  }
  f.batcher.drain();
  CHECK(f.encoder->computed_texts == 2);
  CHECK(f.batcher.stats().cancelled == 1);
  CHECK(f.batcher.stats().late == 1);
  CHECK(f.batcher.stats().texts == 2);
}

TEST_CASE("in a batch that fails, only the failing text fails") {
  Fixture f;
  f.encoder->fail_on("bad");
  f.hold_device();
  for (int i = 1; i <= 5; ++i) REQUIRE_FALSE(f.submit(f.item(i, i == 3 ? "bad" : "good")));
  f.encoder->open();
  for (const auto& outcome : f.outcomes.wait_for(6)) {
    REQUIRE(outcome.error.has_value() == (outcome.item == 3));
    if (outcome.error)
      CHECK(*outcome.error == errors::model_failed("all-MiniLM-L6-v2", "bad token"));
  }
  f.batcher.drain();
  CHECK(f.batcher.stats().failed == 1);
  CHECK(f.batcher.stats().texts == 5);
}

TEST_CASE("a dead device fails every text and the queue goes on afterwards") {
  Fixture f;
  f.encoder->fail_always = true;
  f.hold_device();
  REQUIRE_FALSE(f.submit(f.item(1, "a")));
  REQUIRE_FALSE(f.submit(f.item(2, "b")));
  f.encoder->open();
  for (const auto& outcome : f.outcomes.wait_for(3)) CHECK(outcome.error);
  f.encoder->fail_never();
  REQUIRE_FALSE(f.submit(f.item(3, "c")));
  CHECK_FALSE(f.outcomes.wait_for(4).back().error);
}

TEST_CASE("a callback or a task that throws does not stop the device thread") {
  Fixture f;
  WorkItem throwing = f.item(0, "a");
  throwing.done = [](auto&&, auto&&) { throw std::runtime_error("no"); };
  REQUIRE_FALSE(f.submit(std::move(throwing)));
  f.batcher.run_next([] { throw 5; });
  REQUIRE_FALSE(f.submit(f.item(1, "b")));
  f.outcomes.wait_for(1);
}

TEST_CASE("texts whose rows have no room in memory fail, and the queue goes on") {
  Fixture f;
  const auto large = std::make_shared<FakeEncoder>("large", std::size_t{1} << 62);
  f.hold_device();
  for (int i = 1; i <= 2; ++i) {
    WorkItem item = f.item(i, "a");
    item.encoder = large;
    REQUIRE_FALSE(f.submit(std::move(item)));
  }
  REQUIRE_FALSE(f.submit(f.item(3, "b")));
  f.encoder->open();
  for (const auto& outcome : f.outcomes.wait_for(4)) {
    CHECK(outcome.error.has_value() == (outcome.item == 1 || outcome.item == 2));
    if (outcome.error) CHECK(outcome.error->kind == ErrorKind::model_failed);
  }
}

TEST_CASE("a batch that there is no memory to form is formed later") {
  Fixture f({.lanes = 2});
  const auto asked = std::make_shared<std::atomic<int>>(0);
  WorkItem item = f.item(1, "a");
  item.interest = [asked] {
    if (++*asked <= 3) throw std::bad_alloc();
    return Interest::wanted;
  };
  REQUIRE_FALSE(f.submit(std::move(item)));
  CHECK_FALSE(f.outcomes.wait_for(1).front().error);
  CHECK(*asked > 3);
}

TEST_CASE("run_next goes before the texts that wait") {
  Fixture f;
  f.hold_device();
  REQUIRE_FALSE(f.submit(f.item(1, "waiting")));
  std::promise<std::size_t> texts_before;
  f.batcher.run_next([&] { texts_before.set_value(f.encoder->computed_texts); });
  f.encoder->open();
  CHECK(texts_before.get_future().get() == 1);
  f.outcomes.wait_for(2);
}

TEST_CASE("the wait follows from tokens and measured speed") {
  Fixture f;
  CHECK(f.batcher.wait_seconds() == 0.0);
  const double guessed = f.batcher.wait_seconds(1000);
  CHECK(guessed > 0.0);
  REQUIRE_FALSE(f.submit(f.item(1, "a")));
  f.outcomes.wait_for(1);
  f.hold_device();
  f.batcher.run_next([] {});
  const double speed = f.batcher.stats().tokens_per_second;
  CHECK(speed > 0.0);
  CHECK(f.batcher.wait_seconds() == Approx(3.0 / speed));
  CHECK(f.batcher.wait_seconds(100) == Approx(103.0 / speed));
  f.encoder->open();
  f.batcher.drain();
  CHECK(f.batcher.wait_seconds() == 0.0);
}

TEST_CASE("drain answers what waits and refuses what comes") {
  Fixture f;
  f.hold_device();
  for (int i = 1; i < 20; ++i) REQUIRE_FALSE(f.submit(f.item(i, "word")));
  auto drained = std::async(std::launch::async, [&] { f.batcher.drain(); });
  while (true) {
    const auto refused = f.submit(f.item(100, "word"));
    if (refused && refused->kind == ErrorKind::draining) break;
    std::this_thread::yield();
  }
  f.encoder->open();
  drained.get();
  CHECK(f.outcomes.count() >= 20);
}

TEST_CASE("the destructor ends the running batch and refuses what waits") {
  auto f = std::make_unique<Fixture>();
  f->hold_device();
  REQUIRE_FALSE(f->submit(f->item(1, "word")));
  auto stopped = std::async(std::launch::async, [&] { f->batcher.stop(); });
  while (!f->submit(f->item(2, "more"))) std::this_thread::yield();
  f->encoder->open();
  stopped.get();
  const auto outcomes = f->outcomes.wait_for(2);
  CHECK_FALSE(outcomes[0].error);
  CHECK(outcomes[1].error == errors::draining());
  CHECK(f->batcher.submit({}) == errors::draining());
}

TEST_CASE("many threads submit at once and every item is answered once") {
  Fixture f({.batch_tokens = 64});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&f, t] {
      for (int i = 0; i < 200; ++i) {
        WorkItem item = f.item(t * 1000 + i, "a b c");
        if (i % 7 == 0) item.interest = [] { return Interest::cancelled; };
        if (f.submit(std::move(item))) std::abort();
        if (i % 50 == 0) f.batcher.stats();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  f.batcher.drain();
  std::set<int> items;
  for (const auto& outcome : f.outcomes.wait_for(800)) items.insert(outcome.item);
  CHECK(items.size() == 800);
  CHECK(f.outcomes.count() == 800);
}
