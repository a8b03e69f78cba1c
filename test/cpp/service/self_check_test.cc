#include "service/self_check.h"

#include <future>

#include "service/service_fixture.h"

using namespace ml_worker;        // NOLINT(google-build-using-namespace)
using namespace ml_worker::test;  // NOLINT(google-build-using-namespace)
using std::chrono::milliseconds;

namespace {

/// The first thing that a failing self-check says.
struct Watched {
  explicit Watched(ServiceFixture& fixture, milliseconds interval) : f(fixture) {
    SelfCheckOptions options;
    options.interval = interval;
    options.confirm_after = milliseconds{1};
    options.on_unhealthy = [this](const std::string& what) { said.set_value(what); };
    f.service().start_checking(std::move(options));
  }
  ~Watched() { f.service().stop_checking(); }

  ServiceFixture& f;
  std::promise<std::string> said;
};

}  // namespace

TEST_CASE("a device that drifts is found without anybody asking, and work is refused") {
  ServiceFixture f;
  f.ask(HealthRequest{});
  Watched watched(f, milliseconds{5});
  f.encoder->drift = 0.5F;
  const std::string what = watched.said.get_future().get();
  CHECK(what.find("all-MiniLM-L6-v2: the vectors of the golden sentences have changed") == 0);
  CHECK(f.encode({"a"}).error == errors::unhealthy(what));
  CHECK(f.ask(GetLoadRequest{}).error == errors::unhealthy(what));
  CHECK(f.service().drain());
  CHECK(f.ask(GetLoadRequest{}).error == errors::unhealthy(what));
}

TEST_CASE("a forward pass that fails has the device checked soon") {
  ServiceFixture f;
  Watched watched(f, std::chrono::hours{1});
  f.encoder->fail_always = true;
  CHECK(f.encode({"a"}).error->kind == ErrorKind::model_failed);
  CHECK(watched.said.get_future().get() == "all-MiniLM-L6-v2: device lost");
}

TEST_CASE("one bad text takes no worker out of service") {
  ServiceFixture f;
  Watched watched(f, std::chrono::hours{1});
  f.encoder->fail_on("bad");
  CHECK(f.encode({"bad"}).error->kind == ErrorKind::model_failed);
  ServiceFixture::wait_until([&] { return f.second->forwards >= golden_sentences().size(); });
  CHECK(f.encode({"good"}).vectors);
}
