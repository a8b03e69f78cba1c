#include "service/model_loader.h"

#include <future>

#include "service/service_fixture.h"

using namespace ml_worker;        // NOLINT(google-build-using-namespace)
using namespace ml_worker::test;  // NOLINT(google-build-using-namespace)

namespace {

/// Models that are there: `extra`, `huge`, `broken`; loading waits for the door. `vanished` cannot
/// even be looked at.
class FakeSource : public ModelSource {
 public:
  std::vector<std::string> list() const override { return {"broken", "extra", "huge"}; }
  std::size_t weight_bytes(const std::string& name) const override {
    if (name == "huge") return 1000000;
    if (name == "vanished") throw 5;
    return name == "extra" || name == "broken" ? 1000 : 0;
  }
  LoadedModel load(const std::string& name) override {
    ++loads;
    door.get_future().wait();
    door = {};
    if (name == "broken") throw std::runtime_error("no weights");
    return {std::make_shared<FakeEncoder>(name)};
  }
  void open() { door.set_value(); }

  std::atomic<int> loads{0};
  std::promise<void> door;
};

struct LoaderFixture {
  explicit LoaderFixture(std::size_t max_bytes = 0) : service(options(max_bytes)) {}

  ServiceOptions options(std::size_t max_bytes) const {
    ServiceOptions result;
    result.source = source;
    result.allowed_models = {"extra", "broken", "huge", "absent", "vanished"};
    result.models_max_bytes = max_bytes;
    return result;
  }
  void wait_for_loads(int count) {
    ServiceFixture::wait_until([&] { return source->loads == count; });
  }
  /// name => {loaded, allowed}
  Value listed(const std::string& name) {
    const auto models = std::get<ValueList>(service.ask(ModelsRequest{}).value->storage());
    for (const Value& model : models) {
      if (at(model, "name") == Value(name)) {
        return tuple({at(model, "loaded"), at(model, "allowed")});
      }
    }
    return "not listed";
  }

  std::shared_ptr<FakeSource> source = std::make_shared<FakeSource>();
  ServiceFixture service;
};

}  // namespace

TEST_CASE("a call for an allowed model loads it, once for all who wait, and others go on") {
  LoaderFixture f;
  const Pending first = f.service.start({"a"}, {}, "extra");
  const Pending second = f.service.start({"a"}, {}, "extra");
  f.wait_for_loads(1);
  CHECK(f.service.encode({"a"}).vectors);
  CHECK(first.sink->answers() == 0);
  f.source->open();
  CHECK(first.wait().vectors);
  CHECK(second.wait().vectors);
  CHECK(f.service.encode({"b"}, {}, "extra").vectors);
  CHECK(f.source->loads == 1);
}

TEST_CASE("what is not allowed is unknown, whether it is there or not") {
  LoaderFixture f;
  CHECK(f.service.encode({"a"}, {}, "nope").error == errors::unknown_model("nope"));
  CHECK(f.service.ask(LoadModelRequest{"nope"}).error == errors::unknown_model("nope"));
  CHECK(f.service.ask(LoadModelRequest{"absent"}).error == errors::unknown_model("absent"));
  CHECK(f.source->loads == 0);
}

TEST_CASE("a model that cannot be loaded fails its calls, and is not tried for each of them") {
  LoaderFixture f;
  const Pending call = f.service.start({"a"}, {}, "broken");
  f.wait_for_loads(1);
  f.source->open();
  const Error error = errors::model_failed("broken", "no weights");
  CHECK(call.wait().error == error);
  CHECK(f.service.encode({"a"}, {}, "broken").error == error);
  CHECK(f.source->loads == 1);
  const Pending again = f.service.call(LoadModelRequest{"broken"});
  f.wait_for_loads(2);
  f.source->open();
  CHECK(again.wait().error == error);
}

TEST_CASE("whatever a source throws fails the calls that wait, and the next model is loaded") {
  LoaderFixture f;
  CHECK(f.service.encode({"a"}, {}, "vanished").error ==
        errors::model_failed("vanished", "unknown exception"));
  const Pending call = f.service.start({"a"}, {}, "extra");
  f.wait_for_loads(1);
  f.source->open();
  CHECK(call.wait().vectors);
}

TEST_CASE("the bound on all models' weights is kept") {
  LoaderFixture f(10000);
  CHECK(f.service.ask(LoadModelRequest{"huge"}).error ==
        errors::too_large("models", 1002000, 10000));
  CHECK(f.source->loads == 0);
}

TEST_CASE("models lists what is loaded and what may be") {
  LoaderFixture f;
  CHECK(f.listed("all-MiniLM-L6-v2") == tuple({true, true}));
  CHECK(f.listed("extra") == tuple({false, true}));
  const Pending load = f.service.call(LoadModelRequest{"extra"});
  f.wait_for_loads(1);
  f.source->open();
  CHECK(load.wait().value == atom("ok"));
  CHECK(f.listed("extra") == tuple({true, true}));
  CHECK(f.service.ask(LoadModelRequest{"extra"}).value == atom("ok"));
}

TEST_CASE("unload waits for running work; the model may be loaded again") {
  LoaderFixture f;
  f.service.second->close();
  const Pending running = f.service.start({"a"}, {}, "large");
  f.service.second->wait_until_held();
  const Pending unload = f.service.call(UnloadModelRequest{"large"});
  ServiceFixture::wait_until([&] { return f.listed("all-mpnet-base-v2") == Value("not listed"); });
  CHECK(f.service.encode({"b"}, {}, "large").error == errors::unknown_model("large"));
  CHECK(unload.sink->answers() == 0);
  f.service.second->open();
  CHECK(running.wait().vectors);
  CHECK(unload.wait().value == atom("ok"));
  CHECK(f.service.ask(UnloadModelRequest{"large"}).error == errors::unknown_model("large"));
}

TEST_CASE("the default model stays") {
  LoaderFixture f;
  CHECK(f.service.ask(UnloadModelRequest{"default"}).error->kind == ErrorKind::bad_argument);
  CHECK(f.service.ask(UnloadModelRequest{"all-MiniLM-L6-v2"}).error->kind ==
        ErrorKind::bad_argument);
  CHECK(f.service.encode({"a"}).vectors);
}

TEST_CASE("who waits for a model when the service ends is told so") {
  auto f = std::make_unique<LoaderFixture>();
  const Pending waiting = f->service.start({"a"}, {}, "extra");
  f->wait_for_loads(1);
  auto gone = std::async(std::launch::async, [&f] { f->service.destroy_service(); });
  std::this_thread::sleep_for(std::chrono::milliseconds{20});
  f->source->open();
  gone.get();
  CHECK(waiting.sink->answers() == 1);
}
