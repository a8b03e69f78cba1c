#include "service/device_call.h"

#include "service/service_fixture.h"

using namespace ml_worker;        // NOLINT(google-build-using-namespace)
using namespace ml_worker::test;  // NOLINT(google-build-using-namespace)
using std::chrono::milliseconds;

namespace {

/// A call that waits for nothing but what a test brings it.
class WaitingCall : public DeviceCall {
 public:
  using DeviceCall::begin_failure;
  using DeviceCall::DeviceCall;
  using DeviceCall::fail;
  using DeviceCall::interest_at;
  using DeviceCall::mark_started;
  using DeviceCall::post_failure;
  using DeviceCall::post_finish;

 private:
  void finish() override { call_->answer(atom("finished")); }
};

struct Fixture {
  explicit Fixture(const EncodeOptions& options = {})
      : waiting(std::make_shared<WaitingCall>(core, call, encoder, options)) {}
  ~Fixture() {
    core.batcher.stop();
    core.health.stop();
    core.threads.stop();
  }
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;

  std::shared_ptr<FakeEncoder> encoder = std::make_shared<FakeEncoder>();
  Core core{ServiceOptions{}, {{encoder}}};
  std::shared_ptr<CollectingSink> sink = std::make_shared<CollectingSink>();
  std::shared_ptr<Call> call = std::make_shared<Call>(core.counters, nullptr, sink);
  std::shared_ptr<WaitingCall> waiting;
};

const Error kDraining = errors::draining();

}  // namespace

TEST_CASE("a call that is lost while it waits is answered") {
  Fixture f;
  f.waiting->mark_started();
  f.waiting.reset();
  CHECK(f.sink->answers() == 1);
  CHECK(f.sink->wait().error == errors::model_failed("all-MiniLM-L6-v2", "dropped"));
}

TEST_CASE("a call that is lost while it starts is for who started it to answer") {
  Fixture f;
  f.waiting.reset();
  CHECK(f.sink->answers() == 0);
  CHECK(f.call->open());
}

TEST_CASE("the first failure is told, though nobody holds the call any more") {
  Fixture f;
  f.waiting->mark_started();
  f.waiting->fail(kDraining);
  f.waiting->fail(errors::deadline_exceeded());
  f.waiting.reset();
  CHECK(f.sink->wait().error == kDraining);
  f.core.threads.stop();
  CHECK(f.sink->answers() == 1);
}

TEST_CASE(
    "a failure that could not be posted is not the end of the call: it is answered when it is "
    "lost") {
  Fixture f;
  f.waiting->mark_started();
  CHECK(f.waiting->begin_failure());
  CHECK_FALSE(f.waiting->begin_failure());
  CHECK(f.waiting->interest_at(Clock::now()) == Interest::cancelled);
  f.waiting.reset();
  CHECK(f.sink->wait().error == errors::model_failed("all-MiniLM-L6-v2", "dropped"));
}

TEST_CASE("an answer is made on a call thread, though nobody holds the call any more") {
  Fixture f;
  f.waiting->mark_started();
  f.waiting->post_finish(CallThreads::Lane::large);
  f.waiting.reset();
  CHECK(f.sink->wait().value == atom("finished"));
  CHECK(f.sink->answered_by() != std::this_thread::get_id());
}

TEST_CASE("a call's texts are wanted until it ends, its caller goes or its time is over") {
  EncodeOptions options;
  options.timeout = milliseconds{60000};
  Fixture f(options);
  const Clock::time_point now = Clock::now();
  CHECK(f.waiting->interest_at(now) == Interest::wanted);
  CHECK(f.waiting->interest_at(now + milliseconds{70000}) == Interest::late);
  SECTION("it is answered") { f.call->answer(atom("ok")); }
  SECTION("it is cancelled") {
    f.call->cancel();
    CHECK(f.waiting->interest_at(now + milliseconds{70000}) == Interest::cancelled);
  }
  SECTION("it failed") { f.waiting->fail(kDraining); }
  CHECK(f.waiting->interest_at(now) == Interest::cancelled);
}
