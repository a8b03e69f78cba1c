#include "service/vectors_call.h"

#include "service/service_fixture.h"

using namespace ml_worker;        // NOLINT(google-build-using-namespace)
using namespace ml_worker::test;  // NOLINT(google-build-using-namespace)
using std::chrono::milliseconds;

namespace {

EncodeOptions untruncated() {
  EncodeOptions options;
  options.truncate = false;
  return options;
}

/// Waits at a text "stop" until it may go on.
class StoppingTokenizer : public FakeTokenizer {
 public:
  Tokens encode(std::string_view text, std::size_t max_tokens, TruncationSide side) const override {
    if (text == "stop") {
      std::unique_lock lock(mutex_);
      stopped_ = true;
      changed_.notify_all();
      changed_.wait(lock, [this] { return open_; });
    }
    return FakeTokenizer::encode(text, max_tokens, side);
  }
  void wait_until_stopped() const {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return stopped_; });
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  mutable bool stopped_ = false;
  bool open_ = false;
};

struct StoppingEncoder : FakeEncoder {
  const Tokenizer& tokenizer() const override { return stopping; }
  StoppingTokenizer stopping;
};

/// A model whose tokenizer can be stopped.
struct StoppingFixture : ServiceFixture {
  explicit StoppingFixture(ServiceOptions options = {}) : ServiceFixture(std::move(options)) {
    encoder = stopping;
  }
  // A test that fails while the tokenizer is stopped must end.
  ~StoppingFixture() { go_on(); }
  void go_on() { stopping->stopping.open(); }

  std::shared_ptr<StoppingEncoder> stopping = std::make_shared<StoppingEncoder>();
};

/// Two parts and a bit; "stop" stands in the last one.
Texts many_and_stop() {
  Texts texts = numbered("t", 10000);
  texts.push_back("stop");
  return texts;
}

std::string words(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += "w" + std::to_string(i) + " ";
  return text;
}

}  // namespace

TEST_CASE("vectors come in the order of the texts, normalised as the model does") {
  ServiceFixture f;
  const Texts texts = {"one", "two words", "", "three more words"};
  const Answer answer = f.encode(texts);
  REQUIRE(answer.vectors);
  REQUIRE(answer.vectors->vectors.size() == 4);
  CHECK(answer.vectors->cached == 0);
  CHECK_FALSE(answer.vectors->usage);
  CHECK_FALSE(answer.vectors->timings);
  CHECK_FALSE(answer.vectors->fingerprint);
  for (std::size_t i = 0; i < 4; ++i) {
    check_close(answer.vector(i), expected_vector(*f.encoder, texts[i], true, 8));
  }
}

TEST_CASE("the options of the vector: normalize, dimensions, truncation side") {
  ServiceFixture f;
  EncodeOptions options;
  options.normalize = GENERATE(true, false);
  options.dimensions = GENERATE(std::size_t{1}, std::size_t{5}, std::size_t{8});
  options.truncation_side = GENERATE(TruncationSide::left, TruncationSide::right);
  const std::string text = words(40);
  check_close(f.encode({text}, options).vector(0),
              expected_vector(*f.encoder, text, *options.normalize, *options.dimensions,
                              *options.truncation_side));
}

TEST_CASE("a model that does not normalise is not normalised") {
  ServiceFixture f;
  check_close(f.encode({"a b"}, {}, "large").vector(0),
              expected_vector(*f.second, "a b", false, 12));
}

TEST_CASE("dimensions that the model has not are a bad argument") {
  ServiceFixture f;
  EncodeOptions options;
  options.dimensions = 9;
  CHECK(f.encode({"a"}, options).error ==
        errors::bad_argument("dimensions", "expected 1 to 8, got 9"));
}

TEST_CASE("no texts give no vectors without the device, but the model must exist") {
  ServiceFixture f;
  const Answer answer = f.encode({});
  REQUIRE(answer.vectors);
  CHECK(answer.vectors->vectors.empty());
  CHECK(answer.vectors->cached == 0);
  CHECK(f.encoder->forwards == 0);
  CHECK(f.encode({}, {}, "nope").error == errors::unknown_model("nope"));
  CHECK(f.encode({"a"}, {}, "multilingual").error == errors::unknown_model("multilingual"));
}

TEST_CASE("predict answers bare vectors, one of one text") {
  ServiceFixture f;
  const Answer one = f.ask(PredictRequest{{"a"}, true, "default", {}});
  CHECK(one.prediction);
  CHECK(one.single);
  check_close(one.vector(0), expected_vector(*f.encoder, "a", true, 8));
  const Answer list = f.ask(PredictRequest{{"a"}, false, "default", {}});
  CHECK(list.prediction);
  CHECK_FALSE(list.single);
  CHECK(f.ask(PredictRequest{{}, false, "default", {}}).vectors->vectors.empty());
}

TEST_CASE("a text asked for again comes from the cache and is counted") {
  ServiceFixture f;
  const Answer first = f.encode({"a", "b"});
  const Answer second = f.encode({"b", "c", "a"});
  CHECK(first.vectors->cached == 0);
  CHECK(second.vectors->cached == 2);
  CHECK(second.vector(2) == first.vector(0));
  CHECK(second.vector(0) == first.vector(1));
  CHECK(f.encoder->computed_texts == 3);
}

TEST_CASE("a text twice in one call is computed once and not counted, unless it was there") {
  ServiceFixture f;
  const Answer answer = f.encode({"a", "b", "a", "a"});
  CHECK(answer.vectors->cached == 0);
  CHECK(f.encoder->computed_texts == 2);
  CHECK(answer.vector(3) == answer.vector(0));
  CHECK(f.encode({"a", "a", "x"}).vectors->cached == 2);
}

TEST_CASE("an entry is not used for other options, another model or without a cache") {
  ServiceFixture f;
  f.encode({"a"});
  EncodeOptions options;
  options.dimensions = 3;
  CHECK(f.encode({"a"}, options).vectors->cached == 0);
  CHECK(f.encode({"a"}, {}, "large").vectors->cached == 0);
  EncodeOptions as_it_is;
  as_it_is.normalize = true;
  as_it_is.truncate = false;
  CHECK(f.encode({"a"}, as_it_is).vectors->cached == 1);
  ServiceFixture off(with_cache(0));
  off.encode({"a"});
  CHECK(off.encode({"a"}).vectors->cached == 0);
  CHECK(off.encoder->computed_texts == 2);
}

TEST_CASE("running work is joined: computed once, answered to all, not counted as cached") {
  ServiceFixture f;
  const Pending holder = f.hold_device();
  const Pending a = f.start({"same", "a"});
  f.wait_until_queued(2);
  const Pending b = f.start({"same", "b"});
  f.wait_until_queued(3);
  f.encoder->open();
  const Answer answer_a = a.wait();
  const Answer answer_b = b.wait();
  CHECK(answer_a.vector(0) == answer_b.vector(0));
  CHECK(answer_a.vectors->cached + answer_b.vectors->cached == 0);
  CHECK(f.encoder->computed_texts == 4);
  holder.wait();
}

TEST_CASE("who is in a hurry does not wait in the line of a bulk call for a text of that") {
  ServiceOptions options;
  options.batching.batch_tokens = 12;
  ServiceFixture f(options);
  const Pending holder = f.hold_device();
  const Texts many = numbered("b", 40);
  const Pending slow = f.start(many, in_bulk());
  f.wait_until_queued(40);
  const Pending quick = f.start({many.back()});
  f.wait_until_queued(41);
  f.encoder->let_one_through();
  holder.wait();
  f.encoder->let_one_through();
  const Answer early = quick.wait();
  CHECK(slow.sink->answers() == 0);
  f.encoder->open();
  // One answer for both, and one computation.
  CHECK(slow.wait().vector(39) == early.vector(0));
  CHECK(f.encoder->computed_texts == 41);
}

TEST_CASE("a bulk call that is cancelled takes nobody with it who asked for its text in a hurry") {
  ServiceFixture f;
  const Pending holder = f.hold_device();
  const Pending queued = f.start({"a", "b", "c"}, in_bulk());
  f.wait_until_queued(3);
  const Pending quick = f.start({"c"});
  f.wait_until_queued(4);
  queued.handle->cancel();
  f.encoder->open();
  CHECK(quick.wait().vectors);
  CHECK(f.encoder->computed_texts == 2);
}

TEST_CASE(
    "who asks for one text does not wait for all of another's call, and it is computed once") {
  ServiceOptions options;
  options.batching.batch_tokens = 30;
  ServiceFixture f(options);
  const Pending holder = f.hold_device();
  const Texts many = numbered("t", 1000);
  const Pending large = f.start(many);
  f.wait_until_queued(1000);
  const Pending one = f.start({many.back()});
  f.wait_until_queued(1001);
  for (int passes = 0; passes < 5; ++passes) {
    const auto before = f.encoder->forwards.load();
    f.encoder->let_one_through();
    f.wait_until([&] { return f.encoder->forwards > before; });
    f.encoder->wait_until_held();
  }
  const Answer early = one.wait();
  CHECK(large.sink->answers() == 0);
  f.encoder->open();
  CHECK(large.wait().vector(999) == early.vector(0));
  CHECK(f.encoder->computed_texts == 1001);
  CHECK(number(at(f.queue(), "cancelled")) == 0);
}

TEST_CASE("who is refused takes nobody with it whose text it asked for in a hurry") {
  ServiceFixture f(with_queue(100));
  const Pending holder = f.hold_device();
  const Texts many = numbered("b", 20);
  const Pending slow = f.start(many, in_bulk());
  f.wait_until_queued(20);
  const Pending quick = f.start(numbered("i", 13));
  f.wait_until_queued(33);
  const Answer refused = f.encode({many.back()});
  REQUIRE(refused.error);
  CHECK(refused.error->kind == ErrorKind::overloaded);
  f.encoder->open();
  CHECK(slow.wait().vectors);
  CHECK(quick.wait().vectors);
  CHECK(f.encoder->computed_texts == 34);
}

TEST_CASE("the device computes the first parts of a large call while the rest is tokenized") {
  StoppingFixture f;
  const Texts many = many_and_stop();
  const Pending call = f.start(many);
  f.wait_until([&] { return f.encoder->computed_texts == 8192; });
  CHECK(call.sink->answers() == 0);
  f.go_on();
  const Answer answer = call.wait();
  REQUIRE(answer.vectors);
  REQUIRE(answer.vectors->vectors.size() == many.size());
  for (const std::size_t i : {0U, 4095U, 4096U, 8192U, 10000U}) {
    check_close(answer.vector(i), expected_vector(*f.encoder, many[i], true, 8));
  }
  CHECK(f.encoder->computed_texts == many.size());
}

TEST_CASE("a large call that is cancelled is neither tokenized nor computed further") {
  StoppingFixture f;
  const Pending holder = f.hold_device();
  Texts many = numbered("t", 10000);
  many[4096] = "stop";
  const Pending gone = f.start(many);
  f.stopping->stopping.wait_until_stopped();
  gone.handle->cancel();
  f.go_on();
  f.encoder->open();
  holder.wait();
  f.service().drain();
  CHECK(f.encoder->computed_texts == 1);
  CHECK(gone.sink->answers() == 0);
  CHECK(number(at(f.queue(), "cancelled")) == 4096);
}

TEST_CASE("a text that fails a large call ends the rest of it") {
  StoppingFixture f;
  f.encoder->fail_on("t0");
  const Pending call = f.start(many_and_stop());
  CHECK(call.wait().error == errors::model_failed("all-MiniLM-L6-v2", "bad token"));
  f.go_on();
  f.service().drain();
  CHECK(f.encoder->computed_texts < 8192);
}

TEST_CASE("a large call is refused with its first part, before any of it is computed") {
  ServiceFixture f(with_queue(20000));
  const Pending holder = f.hold_device();
  const Pending queued = f.start({"a"});
  f.wait_until_queued(1);
  // 12,288 tokens in the first part, 30,000 in all.
  const Answer refused = f.encode(numbered("t", 10000));
  REQUIRE(refused.error);
  CHECK(refused.error->kind == ErrorKind::overloaded);
  f.encoder->open();
  CHECK(queued.wait().vectors);
  CHECK(f.encoder->computed_texts == 2);
}

TEST_CASE("what follows the first part of a large call is taken, whoever came meanwhile") {
  StoppingFixture f(with_queue(35000));
  const Pending holder = f.hold_device();
  const Pending queued = f.start({"a"});
  f.wait_until_queued(1);
  const Pending large = f.start(many_and_stop());
  f.wait_until_queued(8193);
  const Pending other = f.start(numbered("o", 3000));
  f.wait_until_queued(11193);
  f.go_on();
  f.wait_until_queued(13002);
  f.encoder->open();
  CHECK(large.wait().vectors);
  CHECK(other.wait().vectors);
}

TEST_CASE("a large call that is longer than the queue's bound is computed when nothing waits") {
  ServiceFixture f(with_queue(100));
  CHECK(f.encode(numbered("t", 10000)).vectors);
}

TEST_CASE("truncate=false refuses a large call before any of it is computed") {
  ServiceFixture f;
  Texts many = numbered("t", 10000);
  many.push_back(words(15));
  CHECK(f.encode(many, untruncated()).error == errors::too_long(10001, 17, false, 16));
  CHECK(f.encoder->computed_texts == 0);
}

TEST_CASE("an entry that came after the call is used and not counted") {
  ServiceFixture f;
  const Pending holder = f.hold_device();
  std::mutex gate;
  gate.lock();
  const auto sink = std::make_shared<CollectingSink>();
  const auto handle = f.service().call(
      [&gate]() -> Result<Request> {
        const std::lock_guard lock(gate);
        return Request(EncodeRequest{{"held"}, "default", {}});
      },
      {10, 10}, sink);
  f.encoder->open();
  holder.wait();
  gate.unlock();
  CHECK(sink->wait().vectors->cached == 0);
  CHECK(f.encoder->computed_texts == 1);
}

TEST_CASE("truncate=false refuses the first text over the limit by its index") {
  ServiceFixture f;
  CHECK(f.encode({"short", words(15), words(16)}, untruncated()).error ==
        errors::too_long(2, 17, false, 16));
  CHECK(f.encode({"short", words(14)}, untruncated()).vectors);
  CHECK(f.encode({words(500)}, untruncated()).error == errors::too_long(1, 34, true, 16));
  CHECK(f.encoder->computed_texts == 2);
}

TEST_CASE("truncate=false refuses a text over the limit that is cached, too") {
  ServiceFixture f;
  f.encode({words(15), words(500)});
  CHECK(f.encode({"new", words(15)}, untruncated()).error == errors::too_long(2, 17, false, 16));
  CHECK(f.encode({words(500), "new"}, untruncated()).error == errors::too_long(1, 34, true, 16));
}

TEST_CASE("usage tells what was cut, from the cache as well, for duplicates as well") {
  ServiceFixture f;
  EncodeOptions options;
  options.usage = true;
  for (int round = 0; round < 2; ++round) {
    const auto usage = f.encode({"a b", words(20), words(500), "a b"}, options).vectors->usage;
    REQUIRE(usage);
    REQUIRE(usage->size() == 4);
    CHECK(usage->at(0).used == 4);
    CHECK(usage->at(0).given == 4);
    CHECK(usage->at(1).used == 16);
    CHECK(usage->at(1).given == 22);
    CHECK_FALSE(usage->at(1).given_is_lower_bound);
    CHECK(usage->at(2).given_is_lower_bound);
    CHECK(usage->at(3).used == 4);
  }
}

TEST_CASE("fingerprint, timings and format come as asked for") {
  ServiceFixture f;
  EncodeOptions options;
  options.fingerprint = true;
  options.timings = true;
  options.format = VectorFormat::base64;
  const Answer answer = f.encode({"a"}, options);
  CHECK(answer.vectors->format == VectorFormat::base64);
  CHECK(answer.vectors->fingerprint->model_id == "id-of-all-MiniLM-L6-v2");
  CHECK(answer.vectors->fingerprint->numerics == "float32/fake/cpu");
  REQUIRE(answer.vectors->timings);
  CHECK(answer.vectors->timings->queue.count() >= 0);
  CHECK(f.encode({"a"}, options).vectors->timings->compute.count() == 0);
}

TEST_CASE("a vector that is not finite fails its own call only and is never cached") {
  ServiceFixture f;
  f.encoder->not_finite_on("poison");
  const Pending holder = f.hold_device();
  const Pending bad = f.start({"fine1", "poison"});
  const Pending good = f.start({"fine2"});
  f.wait_until_queued(3);
  f.encoder->open();
  CHECK(bad.wait().error == errors::model_failed("all-MiniLM-L6-v2", "not finite"));
  CHECK(good.wait().vectors);
  f.encoder->fail_never();
  const Answer again = f.encode({"poison", "fine1"});
  REQUIRE(again.vectors);
  CHECK(again.vectors->cached == 1);
}

TEST_CASE("a text that the model fails on fails every call that waits for it and no other") {
  ServiceFixture f;
  f.encoder->fail_on("bad");
  const Pending holder = f.hold_device();
  const Pending first = f.start({"x", "bad"});
  f.wait_until_queued(2);
  const Pending joined = f.start({"bad", "y"});
  f.wait_until_queued(3);
  const Pending other = f.start({"z"});
  f.wait_until_queued(4);
  f.encoder->open();
  CHECK(first.wait().error == errors::model_failed("all-MiniLM-L6-v2", "bad token"));
  CHECK(joined.wait().error == errors::model_failed("all-MiniLM-L6-v2", "bad token"));
  CHECK(other.wait().vectors);
  CHECK(holder.wait().vectors);
}

TEST_CASE("work not started by the deadline is refused and costs no forward pass") {
  ServiceFixture f;
  const Pending holder = f.hold_device();
  EncodeOptions soon;
  soon.timeout = milliseconds{20};
  const Pending late = f.start({"late1", "late2"}, soon);
  f.wait_until_queued(2);
  std::this_thread::sleep_for(milliseconds{30});  // the deadline is a time
  f.encoder->open();
  CHECK(late.wait().error == errors::deadline_exceeded());
  holder.wait();
  f.service().drain();
  CHECK(f.encoder->computed_texts == 1);
  CHECK(number(at(f.queue(), "late")) == 2);
}

TEST_CASE("a deadline that has passed when the call is picked up refuses it, cached or not") {
  ServiceFixture f;
  f.encode({"a"});
  EncodeOptions past;
  past.timeout = milliseconds{GENERATE(0, -5)};
  CHECK(f.encode({"a"}, past).error == errors::deadline_exceeded());
  EncodeOptions forever;
  forever.timeout = milliseconds::max();
  CHECK(f.encode({"a"}, forever).vectors);
}

TEST_CASE("who waits longer is not failed by the deadline of who asked first, and the reverse") {
  ServiceFixture f;
  EncodeOptions soon;
  soon.timeout = milliseconds{20};
  const bool patient_first = GENERATE(true, false);
  const Pending holder = f.hold_device();
  const Pending first = f.start({"same"}, patient_first ? EncodeOptions{} : soon);
  f.wait_until_queued(1);
  const Pending second = f.start({"same", "more"}, patient_first ? soon : EncodeOptions{});
  f.wait_until_queued(2);
  std::this_thread::sleep_for(milliseconds{30});
  f.encoder->open();
  CHECK((patient_first ? first : second).wait().vectors);
  CHECK((patient_first ? second : first).wait().error == errors::deadline_exceeded());
  CHECK(holder.wait().vectors);
  f.service().drain();
  CHECK(f.encoder->computed_texts == (patient_first ? 2 : 3));
}

TEST_CASE("a cancelled call costs no forward pass, is counted and never answered") {
  ServiceFixture f;
  const Pending holder = f.hold_device();
  const Pending gone = f.start({"gone1", "gone2"});
  f.wait_until_queued(2);
  gone.handle->cancel();
  gone.handle->cancel();
  f.encoder->open();
  holder.wait();
  f.service().drain();
  CHECK(f.encoder->computed_texts == 1);
  CHECK(gone.sink->answers() == 0);
  CHECK(number(at(f.queue(), "cancelled")) == 2);
  CHECK(number(at(f.calls(), "cancelled")) == 1);
  CHECK(number(at(f.calls(), "pending")) == 0);
}

TEST_CASE("a cancelled call's text is still computed for those that joined") {
  ServiceFixture f;
  const Pending holder = f.hold_device();
  const Pending creator = f.start({"same", "only mine"});
  f.wait_until_queued(2);
  const Pending joiner = f.start({"same", "also"});
  f.wait_until_queued(3);
  creator.handle->cancel();
  f.encoder->open();
  CHECK(joiner.wait().vectors);
  f.service().drain();
  CHECK(f.encoder->computed_texts == 3);
  CHECK(number(at(f.queue(), "cancelled")) == 1);
}

TEST_CASE("a text whose only caller has gone is computed anew for the next") {
  ServiceFixture f;
  const Pending holder = f.hold_device();
  const Pending gone = f.start({"same"});
  f.wait_until_queued(1);
  gone.handle->cancel();
  const Pending next = f.start({"same"});
  f.encoder->open();
  check_close(next.wait().vector(0), expected_vector(*f.encoder, "same", true, 8));
}

TEST_CASE("a refusal of the queue reaches the call at once, and the next one works") {
  ServiceFixture f(with_queue(5));
  const Pending holder = f.hold_device();
  const Pending queued = f.start({"a"});
  f.wait_until_queued(1);
  const Answer refused = f.encode({"b", "c"});
  REQUIRE(refused.error);
  CHECK(refused.error->kind == ErrorKind::overloaded);
  f.encoder->open();
  CHECK(queued.wait().vectors);
  CHECK(f.encode({"b", "c"}).vectors);
}

TEST_CASE("large replies of cached texts hold up no small call") {
  struct Blocking : CollectingSink {
    void embeddings(const VectorsReply& reply) override {
      ++inside;
      const std::lock_guard lock(gate);
      CollectingSink::embeddings(reply);
    }
    std::atomic<int> inside{0};
    std::mutex gate;
  };
  ServiceFixture f;
  const Texts many = numbered("m", 100);
  f.encode(many);
  std::vector<std::shared_ptr<Blocking>> blocked;
  for (int i = 0; i < 10; ++i) {
    blocked.push_back(std::make_shared<Blocking>());
    blocked.back()->gate.lock();
    f.service().call(
        [&many] {
          return Request(EncodeRequest{many, "default", {}});
        },
        {1000, 1000}, blocked.back());
  }
  f.wait_until([&] {
    return std::any_of(blocked.begin(), blocked.end(),
                       [](const auto& sink) { return sink->inside > 0; });
  });
  CHECK(f.encode({many.front()}).vectors->cached == 1);
  for (const auto& sink : blocked) sink->gate.unlock();
  for (const auto& sink : blocked) CHECK(sink->wait().vectors);
}

TEST_CASE("replies are written by other threads than the device's") {
  ServiceFixture f;
  f.encode({"warm"});
  const Pending call = f.start({"a", "b"});
  call.wait();
  const Answer health = f.ask(HealthRequest{});
  CHECK(health.value == atom("ok"));
  CHECK(call.sink->answered_by() != std::thread::id{});
  CHECK(call.sink->answered_by() != f.encoder->forward_thread());
}
