#include "service/health.h"

#include "service/service_fixture.h"

using namespace ml_worker;        // NOLINT(google-build-using-namespace)
using namespace ml_worker::test;  // NOLINT(google-build-using-namespace)
using std::chrono::milliseconds;

namespace {

ServiceOptions health_options(milliseconds timeout, milliseconds max_age) {
  ServiceOptions options;
  options.health_timeout = timeout;
  options.health_max_age = max_age;
  return options;
}

/// Forward passes of one check of one model.
const std::size_t kPass = golden_sentences().size();

const ServiceOptions kAlwaysAnew = health_options(std::chrono::seconds(30), milliseconds{0});

}  // namespace

TEST_CASE("health is ok after a forward pass of every model, and that result is used again") {
  ServiceFixture f;
  CHECK(f.ask(HealthRequest{}).value == atom("ok"));
  CHECK(f.encoder->forwards == kPass);
  CHECK(f.second->forwards == kPass);
  CHECK(f.ask(HealthRequest{}).value == atom("ok"));
  CHECK(f.encoder->forwards == kPass);
}

TEST_CASE("an old result is not used again") {
  ServiceFixture f(kAlwaysAnew);
  f.ask(HealthRequest{});
  f.ask(HealthRequest{});
  CHECK(f.encoder->forwards == 2 * kPass);
}

TEST_CASE("calls at once share one pass") {
  ServiceFixture f;
  const Pending holder = f.hold_device();
  std::vector<Pending> calls;
  for (int i = 0; i < 8; ++i) calls.push_back(f.call(HealthRequest{}));
  f.encoder->open();
  for (const Pending& call : calls) CHECK(call.wait().value == atom("ok"));
  CHECK(f.encoder->forwards == 1 + kPass);
}

TEST_CASE("health goes past the queue") {
  ServiceFixture f;
  const Pending holder = f.hold_device();
  const Pending waiting = f.start({"waiting"});
  f.wait_until_queued(1);
  const Pending health = f.call(HealthRequest{});
  // Its pass is the second one: let the first go, hold the second.
  ServiceFixture::wait_until([&] { return number(at(f.calls(), "pending")) == 3; });
  std::this_thread::sleep_for(milliseconds{20});
  f.encoder->open();
  CHECK(health.wait().value == atom("ok"));
  CHECK(waiting.wait().vectors);
}

TEST_CASE("a device that throws, gives no numbers or other vectors than before is unhealthy") {
  ServiceFixture f(kAlwaysAnew);
  REQUIRE(f.ask(HealthRequest{}).value == atom("ok"));
  std::string what;
  SECTION("throws") {
    f.encoder->fail_always = true;
    what = "all-MiniLM-L6-v2: device lost";
  }
  SECTION("not finite") {
    f.encoder->not_finite_on("fox");
    what = "all-MiniLM-L6-v2: not finite";
  }
  SECTION("drift") { f.encoder->drift = 10.0F; }
  const Answer answer = f.ask(HealthRequest{});
  REQUIRE(answer.error);
  CHECK(answer.error->kind == ErrorKind::unhealthy);
  if (!what.empty()) CHECK(answer.error == errors::unhealthy(what));
  CHECK(f.ask(GetLoadRequest{}).error == answer.error);
  f.encoder->fail_never();
  f.encoder->drift = 0.0F;
  CHECK(f.ask(HealthRequest{}).value == atom("ok"));
  CHECK(f.ask(GetLoadRequest{}).value);
}

TEST_CASE("a stuck device is unhealthy after the timeout and healthy when it goes on") {
  ServiceFixture f(health_options(milliseconds{30}, milliseconds{0}));
  const Pending holder = f.hold_device();
  const Error stuck = errors::unhealthy("no answer from the device within 30 ms");
  CHECK(f.ask(HealthRequest{}).error == stuck);
  CHECK(f.ask(HealthRequest{}).error == stuck);
  CHECK(f.ask(GetLoadRequest{}).error == stuck);
  f.encoder->open();
  ServiceFixture::wait_until([&] { return f.ask(GetLoadRequest{}).value.has_value(); });
  CHECK(f.ask(HealthRequest{}).value == atom("ok"));
}

TEST_CASE("a second check has its own timeout") {
  ServiceFixture f(health_options(milliseconds{200}, milliseconds{0}));
  for (int i = 0; i < 20; ++i) {
    CHECK(f.ask(HealthRequest{}).value == atom("ok"));
    std::this_thread::sleep_for(milliseconds{15});
  }
}
