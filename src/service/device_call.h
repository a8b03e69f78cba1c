// A call whose texts go through the device: what VectorsCall and TokensCall have in common.
//
// Whoever will bring it a text, an end or a failure holds it. So one that goes while its call is
// open was lost, for want of memory, and answers by itself.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>

#include "ml_worker/service.h"
#include "service/call.h"
#include "service/call_threads.h"
#include "service/core.h"

namespace ml_worker {

class DeviceCall : public std::enable_shared_from_this<DeviceCall> {
 public:
  DeviceCall(Core& core, std::shared_ptr<Call> call, std::shared_ptr<Encoder> model,
             EncodeOptions options);
  virtual ~DeviceCall();
  DeviceCall(const DeviceCall&) = delete;
  DeviceCall& operator=(const DeviceCall&) = delete;

 protected:
  /// The last thing that a start() does: what is thrown before is its caller's to answer.
  void mark_started() { started_ = true; }

  /// Whether a text of it is still to be computed.
  Interest interest_at(Clock::time_point now) const;

  bool has_failed() const { return failed_; }
  /// Ends the call, on a call thread, unless a failure came before.
  void fail(const Error& error);
  /// The two steps of it: nothing of the call is computed any more; its caller is told. False: a
  /// failure came before, which is told.
  bool begin_failure() { return !failed_.exchange(true); }
  void post_failure(const Error& error);
  /// Has finish() run on a call thread.
  void post_finish(CallThreads::Lane lane);

  Core& core_;
  const std::shared_ptr<Call> call_;
  const std::shared_ptr<Encoder> model_;
  const EncodeOptions options_;
  const std::optional<Clock::time_point> deadline_;

 private:
  /// Answers.
  virtual void finish() = 0;

  std::atomic<bool> failed_{false};
  bool started_ = false;
};

}  // namespace ml_worker
