#include "service/device_call.h"

#include <utility>

#include "ml_worker/log.h"

namespace ml_worker {

DeviceCall::DeviceCall(Core& core, std::shared_ptr<Call> call, std::shared_ptr<Encoder> model,
                       EncodeOptions options)
    : core_(core),
      call_(std::move(call)),
      model_(std::move(model)),
      options_(std::move(options)),
      deadline_(call_->deadline(options_.timeout)) {
  call_->times().begin();
}

DeviceCall::~DeviceCall() {
  if (!started_ || !call_->open()) return;
  log::contained("a call was lost", [this] {
    call_->fail(errors::model_failed(model_->description().name, "dropped"));
  });
}

Interest DeviceCall::interest_at(Clock::time_point now) const {
  if (call_->cancelled()) return Interest::cancelled;
  if (deadline_ && now > *deadline_) return Interest::late;
  return failed_ || !call_->open() ? Interest::cancelled : Interest::wanted;
}

void DeviceCall::fail(const Error& error) {
  if (begin_failure()) post_failure(error);
}

void DeviceCall::post_failure(const Error& error) {
  if (error.kind == ErrorKind::model_failed) core_.self_check.soon();
  core_.threads.post(CallThreads::Lane::small,
                     [self = shared_from_this(), error] { self->call_->fail(error); });
}

void DeviceCall::post_finish(CallThreads::Lane lane) {
  core_.threads.post(lane, [self = shared_from_this()] { self->finish(); });
}

}  // namespace ml_worker
