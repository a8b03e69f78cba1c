#include "ml_worker/service.h"

#include <cmath>
#include <future>

#include "ml_worker/log.h"
#include "service/service_fixture.h"
#include "support/standard_error.h"

using namespace ml_worker;        // NOLINT(google-build-using-namespace)
using namespace ml_worker::test;  // NOLINT(google-build-using-namespace)
using std::chrono::milliseconds;

namespace {

ServiceOptions with_limits(RequestLimits limits) {
  ServiceOptions options;
  options.limits = limits;
  return options;
}

/// Every number in a value, to be sure that none is what an Erlang VM refuses.
bool all_finite(const Value& value) {
  if (const auto* number = std::get_if<double>(&value.storage())) return std::isfinite(*number);
  if (const auto* list = std::get_if<ValueList>(&value.storage())) {
    return std::all_of(list->begin(), list->end(), all_finite);
  }
  if (const auto* map = std::get_if<ValueMap>(&value.storage())) {
    return std::all_of(map->entries.begin(), map->entries.end(),
                       [](const auto& entry) { return all_finite(entry.second); });
  }
  return true;
}

Value binaries(std::initializer_list<const char*> names) {
  ValueList list;
  for (const char* name : names) list.emplace_back(name);
  return list;
}

}  // namespace

TEST_CASE("limits on one call: texts, bytes of a text, bytes of all") {
  ServiceFixture f(with_limits({.text_bytes = 10, .texts = 3, .call_bytes = 20}));
  CHECK(f.encode({"a", "b", "c", "d"}).error == errors::too_large("texts", 4, 3));
  CHECK(f.encode({"a", "elevenbytes"}).error == errors::too_large("text", 11, 10));
  CHECK(f.encode({"123456789", "123456789", "123"}).error == errors::too_large("call", 21, 20));
  CHECK(f.ask(TokenizeRequest{{"elevenbytes"}, "default"}).error ==
        errors::too_large("text", 11, 10));
  CHECK(f.ask(PredictRequest{{"elevenbytes"}, true, "default", {}}).error ==
        errors::too_large("text", 11, 10));
  CHECK(f.encode({"1234567890", "1234567890"}).vectors);
}

TEST_CASE("tokenize gives pieces of the whole text, a prompt included") {
  ServiceFixture f;
  f.encoder->change_description().prompts = {{"query", "q "}};
  EncodeOptions options;
  options.pieces = true;
  options.prompt = "query";
  const auto piece = [](std::int64_t id, const char* text, bool special, const Value& start,
                        const Value& stop) {
    return map(
        {{"id", id}, {"text", text}, {"special", special}, {"start", start}, {"stop", stop}});
  };
  const Value none = atom("none");
  const Value expected = ValueList{ValueList{
      piece(1, "[", true, none, none), piece(FakeTokenizer::id_of("q"), "q", false, 0, 1),
      piece(FakeTokenizer::id_of("bc"), "bc", false, 2, 4), piece(2, "]", true, none, none)}};
  CHECK(f.ask(TokenizeRequest{{"bc"}, "default", options}).value == expected);

  std::string longer;
  for (int i = 0; i < 100; ++i) longer += "a ";
  const Value all = *f.ask(TokenizeRequest{{longer}, "default", options}).value;
  const auto& texts = std::get<ValueList>(all.storage());
  CHECK(std::get<ValueList>(texts.at(0).storage()).size() == 103);
  options.truncate = false;
  CHECK(f.ask(TokenizeRequest{{"a", longer}, "default", options}).error ==
        errors::too_long(2, 103, false, 16));
}

TEST_CASE("pieces have a limit, and no NUL in them") {
  ServiceFixture f;
  EncodeOptions options;
  options.pieces = true;
  std::string many;
  for (int i = 0; i < 130000; ++i) many += "a ";
  CHECK(f.ask(TokenizeRequest{{many}, "default", options}).value);
  CHECK(f.ask(TokenizeRequest{{many, many}, "default", options}).error ==
        errors::too_large("tokens", 260004, 250000));
  const Value value = *f.ask(TokenizeRequest{{std::string("a\0b", 3)}, "default", options}).value;
  const auto& texts = std::get<ValueList>(value.storage());
  CHECK(at(std::get<ValueList>(texts.at(0).storage()).at(1), "text") == Value("a\uFFFDb"));
}

TEST_CASE("tokenize gives the ids that the model would get") {
  ServiceFixture f;
  const Answer answer = f.ask(TokenizeRequest{{"a b", ""}, "default"});
  const Value expected = ValueList{
      ValueList{1, FakeTokenizer::id_of("a"), FakeTokenizer::id_of("b"), 2}, ValueList{1, 2}};
  CHECK(answer.value == expected);
  CHECK(f.ask(TokenizeRequest{{"a"}, "nope"}).error == errors::unknown_model("nope"));
  CHECK(f.encoder->forwards == 0);
}

TEST_CASE("a request that cannot be made is answered with its error, and the next call works") {
  ServiceFixture f;
  const auto ask = [&f](std::function<Result<Request>()> make) {
    const auto sink = std::make_shared<CollectingSink>();
    f.service().call(std::move(make), {10, 10}, sink);
    return sink->wait();
  };
  CHECK(ask([] { return errors::undef(); }).error == errors::undef());
  CHECK(ask([]() -> Result<Request> { throw std::runtime_error("boom"); }).error->kind ==
        ErrorKind::model_failed);
  CHECK(ask([]() -> Result<Request> { throw 5; }).error->kind == ErrorKind::model_failed);
  CHECK(f.encode({"a"}).vectors);
}

namespace {

/// Throws once, while it makes its answer or delivers it.
class Throwing : public CollectingSink {
 public:
  Throwing(bool in_delivery, std::function<void()> throw_it)
      : in_delivery_(in_delivery), throw_it_(std::move(throw_it)) {}
  void embeddings(const VectorsReply& reply) override {
    if (!in_delivery_) throw_it_();
    CollectingSink::embeddings(reply);
  }
  void deliver() override {
    if (in_delivery_) std::exchange(throw_it_, [] {})();
    CollectingSink::deliver();
  }

 private:
  bool in_delivery_;
  std::function<void()> throw_it_;
};

}  // namespace

TEST_CASE("a sink that throws is given the failure, which is counted, and nobody else is harmed") {
  ServiceFixture f;
  const bool in_delivery = GENERATE(false, true);
  const auto fails_with = [&](const std::function<void()>& throw_it) {
    const auto sink = std::make_shared<Throwing>(in_delivery, throw_it);
    f.service().call([] { return Request(EncodeRequest{{"a"}, "default", {}}); }, {10, 10}, sink);
    return sink->wait().error->kind;
  };
  CHECK(fails_with([] { throw std::bad_alloc(); }) == ErrorKind::overloaded);
  CHECK(fails_with([] { throw std::runtime_error("boom"); }) == ErrorKind::model_failed);
  CHECK(fails_with([] { throw 5; }) == ErrorKind::model_failed);
  CHECK(fails_with([] { throw ReplyError(errors::too_large("reply", 2, 1)); }) ==
        ErrorKind::too_large);
  // The sinks counted nothing themselves: whoever has its answer finds it here.
  const Value metrics = *f.ask(MetricsRequest{}).value;
  CHECK(at(at(metrics, "calls"), "ok") == Value(0));
  CHECK(at(at(metrics, "calls"), "failed") == Value(4));
  CHECK(at(at(metrics, "failures"), "overloaded") == Value(1));
  CHECK(at(at(metrics, "failures"), "model_failed") == Value(2));
  CHECK(at(at(metrics, "failures"), "too_large") == Value(1));
  CHECK(f.encode({"a"}).vectors);
}

TEST_CASE("more calls than may be pending are refused at once, on the caller's thread") {
  ServiceOptions options;
  options.pending_calls = 2;
  ServiceFixture f(options);
  const Pending first = f.hold_device();
  const Pending second = f.start({"b"});
  const Pending third = f.start({"c"});
  REQUIRE(third.sink->answers() == 1);
  CHECK(third.wait().error->kind == ErrorKind::overloaded);
  CHECK(third.sink->answered_by() == std::this_thread::get_id());
  f.encoder->open();
  CHECK(first.wait().vectors);
  CHECK(second.wait().vectors);
}

TEST_CASE("more bytes than may be pending are refused, but an empty worker takes any call") {
  ServiceOptions options;
  options.pending_bytes = 1000;
  ServiceFixture f(options);
  f.encoder->close();
  const Pending large = f.call(EncodeRequest{{"a"}, "default", {}}, 5000);
  CHECK(f.call(EncodeRequest{{"b"}, "default", {}}, 1).wait().error->kind == ErrorKind::overloaded);
  large.handle->cancel();
  f.encoder->open();
  ServiceFixture::wait_until([&] { return number(at(f.calls(), "pending")) == 0; });
  CHECK(f.call(EncodeRequest{{"b"}, "default", {}}, 900).wait().vectors);
}

TEST_CASE("what stands in a message beside the arguments counts too, but is no work") {
  ServiceOptions options;
  options.pending_bytes = 1000;
  ServiceFixture f(options);
  f.encoder->close();
  const auto encode = [] { return Request(EncodeRequest{{"a"}, "default", {}}); };
  const auto sink = std::make_shared<CollectingSink>();
  const auto fat = f.service().call(encode, {5000, 5}, sink);
  CHECK(f.call(EncodeRequest{{"b"}, "default", {}}, 1).wait().error->kind == ErrorKind::overloaded);
  f.encoder->open();
  CHECK(sink->wait().vectors);
}

TEST_CASE("a cancelled call gives its place back at once") {
  ServiceOptions options;
  options.pending_calls = 2;
  ServiceFixture f(options);
  const Pending holder = f.hold_device();
  const Pending gone = f.start({"gone"});
  f.wait_until_queued(1);
  gone.handle->cancel();
  const Pending next = f.start({"next"});
  f.encoder->open();
  CHECK(next.wait().vectors);
}

TEST_CASE("a handle may be used after the service has gone") {
  ServiceFixture f;
  const Pending call = f.start({"a"});
  call.wait();
  f.destroy_service();
  call.handle->cancel();
  CHECK(call.sink->answers() == 1);
}

TEST_CASE("get_load is 0 at rest, grows with the queue and is an error when work is refused") {
  ServiceFixture f(with_queue(9));
  CHECK(f.ask(GetLoadRequest{}).value == Value(0.0));
  const Pending holder = f.hold_device();
  const double one = std::get<double>(f.ask(GetLoadRequest{}).value->storage());
  const Pending second = f.start({"b"});
  f.wait_until_queued(1);
  const double two = std::get<double>(f.ask(GetLoadRequest{}).value->storage());
  CHECK(one > 0.0);
  CHECK(two == Approx(2 * one));
  const Pending third = f.start({"c d e f"});
  f.wait_until_queued(2);
  CHECK(f.ask(GetLoadRequest{}).error->kind == ErrorKind::overloaded);
  f.encoder->open();
  third.wait();
}

TEST_CASE("probes are answered while a bulk call is being tokenized") {
  ServiceFixture f;
  std::promise<void> release;
  const auto sink = std::make_shared<CollectingSink>();
  f.service().call(
      [&release]() -> Result<Request> {
        release.get_future().wait();
        return errors::undef();
      },
      {1 << 20, 1 << 20}, sink);
  CHECK(f.ask(InfoRequest{}).value);
  CHECK(f.encode({"a"}).vectors);
  const double load = std::get<double>(f.ask(GetLoadRequest{}).value->storage());
  CHECK(load > 0.0);  // what is not tokenized yet counts
  release.set_value();
  sink->wait();
  ServiceFixture::wait_until([&] { return f.ask(GetLoadRequest{}).value == Value(0.0); });
}

namespace {

/// Whoever tokenizes waits for the other.
class MeetingTokenizer : public FakeTokenizer {
 public:
  Tokens encode(std::string_view text, std::size_t max_tokens, TruncationSide side) const override {
    std::unique_lock lock(mutex_);
    ++inside_;
    changed_.notify_all();
    changed_.wait_for(lock, std::chrono::seconds{5}, [this] { return inside_ >= 2; });
    return FakeTokenizer::encode(text, max_tokens, side);
  }
  int inside() const {
    const std::lock_guard lock(mutex_);
    return inside_;
  }

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  mutable int inside_ = 0;
};

struct MeetingEncoder : FakeEncoder {
  const Tokenizer& tokenizer() const override { return meeting; }
  MeetingTokenizer meeting;
};

}  // namespace

TEST_CASE("two large calls are tokenized at the same time") {
  ServiceOptions options;
  options.tokenizer_threads = 2;
  ServiceFixture f(options);
  const auto encoder = std::make_shared<MeetingEncoder>();
  f.encoder = encoder;
  const Clock::time_point started = Clock::now();
  const Pending first = f.call(EncodeRequest{{"a"}, "default", {}}, 1 << 20);
  const Pending second = f.call(EncodeRequest{{"b"}, "default", {}}, 1 << 20);
  CHECK(first.wait().vectors);
  CHECK(second.wait().vectors);
  CHECK(encoder->meeting.inside() == 2);
  CHECK(Clock::now() - started < std::chrono::seconds{5});
}

TEST_CASE("cached texts are answered while the device is held") {
  ServiceFixture f;
  const Answer computed = f.encode({"a", "b"});
  const Pending holder = f.hold_device();
  const Answer cached = f.encode({"b", "a"});
  REQUIRE(cached.vectors);
  CHECK(cached.vectors->cached == 2);
  CHECK(cached.vector(1) == computed.vector(0));
  CHECK(holder.sink->answers() == 0);
}

TEST_CASE("drain answers admitted calls, refuses new work and still gives information") {
  ServiceFixture f;
  const Pending first = f.hold_device();
  const Pending second = f.start({"b"});
  auto drained = std::async(std::launch::async, [&f] { f.service().drain(); });
  ServiceFixture::wait_until([&] { return f.ask(GetLoadRequest{}).error == errors::draining(); });
  CHECK(f.encode({"c"}).error == errors::draining());
  CHECK(f.ask(PredictRequest{{"c"}, true, "default", {}}).error == errors::draining());
  CHECK(f.ask(HealthRequest{}).error == errors::draining());
  CHECK(f.ask(TokenizeRequest{{"c"}, "default"}).error == errors::draining());
  CHECK(f.ask(InfoRequest{}).value);
  CHECK(drained.wait_for(milliseconds{20}) == std::future_status::timeout);
  f.encoder->open();
  drained.get();
  CHECK(first.sink->answers() == 1);
  CHECK(second.sink->answers() == 1);
  CHECK(second.wait().vectors);
}

TEST_CASE("the destructor answers everything that waits") {
  auto f = std::make_unique<ServiceFixture>();
  const Pending running = f->hold_device();
  const Pending queued = f->start({"b"});
  f->wait_until_queued(1);
  const Pending health = f->call(HealthRequest{});
  auto gone = std::async(std::launch::async, [&f] { f->destroy_service(); });
  std::this_thread::sleep_for(milliseconds{20});
  f->encoder->open();
  gone.get();
  CHECK(running.wait().vectors);
  CHECK(queued.wait().error == errors::draining());
  CHECK(health.sink->answers() == 1);
}

TEST_CASE("info says what the contract asks for") {
  ServiceFixture f;
  f.encode({"a"});
  f.encode({"a"});
  f.encode({"a"}, {}, "nope");
  const Value info = *f.ask(InfoRequest{}).value;
  CHECK(all_finite(info));
  const Value model = at(info, "model");
  CHECK(at(model, "loaded_models") == binaries({"all-MiniLM-L6-v2", "all-mpnet-base-v2"}));
  CHECK(at(model, "default_model") == Value("all-MiniLM-L6-v2"));
  CHECK(at(model, "default_dimensions") == Value(8));
  CHECK(at(model, "aliases") ==
        Value(ValueMap{{{"default", "all-MiniLM-L6-v2"}, {"large", "all-mpnet-base-v2"}}}));
  const auto details = std::get<ValueList>(at(model, "details").storage());
  CHECK(at(details.at(1), "dimensions") == Value(12));
  CHECK(at(details.at(0), "model_id") == Value("id-of-all-MiniLM-L6-v2"));
  const Value cache = at(info, "cache");
  CHECK(at(cache, "hits") == Value(1));
  CHECK(at(cache, "misses") == Value(1));
  CHECK(at(cache, "hit_rate") == Value(0.5));
  CHECK(at(cache, "entries") == Value(1));
  CHECK(number(at(cache, "bytes")) > 32);
  CHECK(at(info, "version") == Value("0.1.0"));
  CHECK(at(info, "api") == Value(1));
  CHECK(number(at(at(info, "memory"), "rss_bytes")) > 100000);
  CHECK(number(at(at(info, "memory"), "weights_bytes")) == 2000);
  CHECK(number(at(at(info, "queue"), "texts")) == 1);
  CHECK(number(at(at(info, "calls"), "total")) == 4);
  CHECK(number(at(at(info, "calls"), "ok")) == 2);
  CHECK(number(at(at(info, "calls"), "failed")) == 1);
  CHECK(std::get<ValueList>(at(info, "functions").storage()).at(1) == atom("encode"));
  CHECK(std::is_sorted(service_functions().begin(), service_functions().end()));
  CHECK(std::is_sorted(service_options().begin(), service_options().end()));
}

TEST_CASE("info and metrics name each GPU once, with the smaller budget of its models") {
  ServiceFixture f;
  CHECK(at(f.service().info(), "devices") == Value(ValueList{}));
  f.destroy_service();
  DeviceStatus gpu{"cuda:0", "NVIDIA H100", 80000, 60000, 500, 700, 0};
  f.encoder->device_status = {gpu, {"cuda:1", "NVIDIA H100", 80000, 0, 1, 2, 0}};
  gpu.batch_tokens = 512;
  f.second->device_status = {gpu};
  for (const Value& answer : {*f.ask(InfoRequest{}).value, *f.ask(MetricsRequest{}).value}) {
    const auto devices = std::get<ValueList>(at(answer, "devices").storage());
    REQUIRE(devices.size() == 2);
    CHECK(devices[0] == map({{"device", "cuda:0"},
                             {"name", "NVIDIA H100"},
                             {"memory_bytes", 80000},
                             {"limit_bytes", 60000},
                             {"used_bytes", 500},
                             {"reserved_bytes", 700},
                             {"batch_tokens", 512}}));
    CHECK(at(devices[1], "device") == Value("cuda:1"));
  }
}

TEST_CASE("a budget of 0 tokens is what suits the models' device") {
  ServiceOptions options;
  options.batching.batch_tokens = 0;
  ServiceFixture f(options);
  f.encoder->change_description().batch_tokens = 8;
  f.second->change_description().batch_tokens = 8;
  const Pending holder = f.hold_device();
  const Pending many = f.start({"a b", "c d", "e f", "g h"});
  f.wait_until_queued(4);
  f.encoder->open();
  REQUIRE(many.wait().vectors);
  // One forward pass for the text that held the device, the others two at a time.
  CHECK(f.encoder->forwards == 3);
}

TEST_CASE("info of a fresh worker has finite numbers only") {
  ServiceFixture f;
  CHECK(all_finite(f.service().info()));
  CHECK(at(at(f.service().info(), "cache"), "hit_rate") == Value(0.0));
  CHECK(all_finite(*f.ask(MetricsRequest{}).value));
}

TEST_CASE("metrics count what was cancelled: the call, and the text that it did not cost") {
  ServiceFixture f;
  const Pending holder = f.hold_device();
  const Pending gone = f.start({"gone"});
  f.wait_until_queued(1);
  gone.handle->cancel();
  f.encoder->open();
  holder.wait();
  f.wait_until_queued(0);
  const Value metrics = *f.ask(MetricsRequest{}).value;
  CHECK(at(at(metrics, "calls"), "cancelled") == Value(1));
  CHECK(at(at(metrics, "queue"), "cancelled") == Value(1));
  CHECK(at(at(metrics, "queue"), "texts") == Value(1));
}

TEST_CASE("metrics count calls by kind of failure and have histograms") {
  ServiceFixture f;
  f.encode({"a", "b"});
  f.encode({"a"}, {}, "nope");
  const Value metrics = *f.ask(MetricsRequest{}).value;
  CHECK(at(at(metrics, "failures"), "unknown_model") == Value(1));
  CHECK(at(at(metrics, "failures"), "draining") == Value(0));
  const Value histograms = at(metrics, "histograms");
  CHECK(at(at(histograms, "batch_texts"), "sum") == Value(2));
  CHECK(at(at(histograms, "batch_texts"), "count") == Value(1));
  CHECK(at(at(histograms, "batch_texts"), "buckets") ==
        Value(ValueList{tuple({0, 0}), tuple({1, 0}), tuple({3, 1})}));
  CHECK(at(at(histograms, "batch_tokens"), "sum") == Value(6));
  CHECK(at(at(histograms, "batch_tokens"), "count") == Value(1));
  CHECK(at(at(histograms, "tokenize_us"), "count") == Value(1));
  CHECK(at(at(histograms, "reply_us"), "count") == Value(1));
}

TEST_CASE("calls with vectors have the parts that they had in the histograms, failed or not") {
  ServiceFixture f;
  const auto counts = [&f] {
    const Value histograms = at(*f.ask(MetricsRequest{}).value, "histograms");
    std::vector<std::int64_t> found;
    for (const char* name : {"tokenize_us", "queue_us", "compute_us"}) {
      found.push_back(number(at(at(histograms, name), "count")));
    }
    return found;
  };
  using Counts = std::vector<std::int64_t>;
  f.encode({"a"});
  CHECK(counts() == Counts{1, 1, 1});
  for (int i = 0; i < 9; ++i) f.encode({"a"});
  CHECK(counts() == Counts{1, 1, 1});
  f.encoder->fail_on("bad");
  f.encode({"bad"});
  CHECK(counts() == Counts{2, 2, 2});
  EncodeOptions whole;
  whole.truncate = false;
  f.encode({"1 2 3 4 5 6 7 8 9 10 11 12 13 14 15"}, whole);
  CHECK(counts() == Counts{3, 2, 2});
}

TEST_CASE("embed_tokens and tokenize have their parts in the histograms, failed or not") {
  ServiceFixture f;
  const auto count = [&f](const std::string& name) {
    return number(at(at(at(*f.ask(MetricsRequest{}).value, "histograms"), name), "count"));
  };
  f.ask(EmbedTokensRequest{{"a b c"}, "default", {}});
  CHECK(count("tokenize_us") == 1);
  CHECK(count("queue_us") == 1);
  CHECK(count("compute_us") == 1);
  f.encoder->fail_on("bad");
  f.ask(EmbedTokensRequest{{"bad"}, "default", {}});
  CHECK(count("tokenize_us") == 2);
  CHECK(count("queue_us") == 2);
  CHECK(count("compute_us") == 2);
  f.ask(TokenizeRequest{{"a"}, "default"});
  f.ask(EmbedTokensRequest{{}, "default", {}});
  CHECK(count("tokenize_us") == 3);
  CHECK(count("queue_us") == 2);
  CHECK(count("compute_us") == 2);
}

TEST_CASE("models lists what is loaded") {
  ServiceFixture f;
  const auto models = std::get<ValueList>(f.ask(ModelsRequest{}).value->storage());
  REQUIRE(models.size() == 2);
  CHECK(at(models.at(0), "name") == Value("all-MiniLM-L6-v2"));
  CHECK(at(models.at(1), "max_tokens") == Value(16));
}

TEST_CASE("threads that encode, cancel and probe at once: every open call is answered, rightly") {
  ServiceOptions options = with_cache(20000);
  options.tokenizer_threads = 3;
  options.health_max_age = milliseconds{0};
  ServiceFixture f(options);
  f.service();
  f.encoder->not_finite_on("poison");
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&f, &wrong, t] {
      for (int i = 0; i < 150; ++i) {
        const std::string text = "text" + std::to_string((i * 7 + t) % 40);
        const bool poisoned = i % 10 == 0;
        const Pending call = f.start({text, poisoned ? "poison" : "plain", text});
        if (i % 5 == 0) f.ask(HealthRequest{});
        if (i % 13 == 0) {
          call.handle->cancel();
          continue;
        }
        const Answer answer = call.wait();
        if (answer.error.has_value() != poisoned) ++wrong;
        if (!answer.vectors) continue;
        const auto expected = expected_vector(*f.encoder, text, true, 8);
        for (std::size_t d = 0; d < 8; ++d) {
          if (std::abs(answer.vector(2).at(d) - expected.at(d)) > 1e-5F) ++wrong;
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  f.service().drain();
  CHECK(wrong == 0);
  CHECK(number(at(f.calls(), "pending")) == 0);
}

TEST_CASE("lines of the log about a traced call say its trace, once each") {
  log::configure(log::Format::text, log::Level::debug);
  EncodeOptions traced;
  traced.trace = "req-1 00-ab";
  const std::string lines = standard_error_of([&] {
    ServiceFixture f;
    f.encode({"a"}, traced);
    f.encode({"not traced"});
    f.ask(TokenizeRequest{{"a"}, "nope", traced});
    f.encoder->fail_always = true;
    f.encode({"b"}, traced);
    f.destroy_service();
  });
  log::configure(log::Format::text, log::Level::info);
  const auto count = [&lines](const std::string& part) {
    std::size_t found = 0;
    for (auto at = lines.find(part); at != std::string::npos; at = lines.find(part, at + 1))
      ++found;
    return found;
  };
  CHECK(count(R"(debug   a traced call was answered trace="req-1 00-ab" us=)") == 1);
  CHECK(count(R"(debug   a traced call failed trace="req-1 00-ab" reason=unknown_model us=)") == 1);
  CHECK(count(R"(warning a traced call failed trace="req-1 00-ab" reason=model_failed us=)") == 1);
  CHECK(count("a traced call") == 3);
}
