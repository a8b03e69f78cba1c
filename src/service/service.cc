#include "ml_worker/service.h"

#include <string>
#include <utility>

#include "service/core.h"
#include "service/execution.h"
#include "service/guarded.h"
#include "service/info.h"
#include "service/load.h"

namespace ml_worker {
namespace {

using TicketPtr = std::shared_ptr<Admission::Ticket>;

/// A call that brings more is decoded and tokenized on the lane of large work.
constexpr std::size_t kSmallCallBytes = std::size_t{64} << 10;

/// Those of a request that has any.
const EncodeOptions* options_of(const Request& request) {
  return std::visit(
      [](const auto& asked) -> const EncodeOptions* {
        if constexpr (requires { asked.options; }) return &asked.options;
        return nullptr;
      },
      request);
}

}  // namespace

class Service::Impl {
 public:
  Impl(ServiceOptions options, std::vector<LoadedModel> models)
      : core_(std::move(options), std::move(models)) {}

  // Whatever waits is answered with `draining` before the threads end.
  ~Impl() {
    core_.admission->close();
    core_.self_check.stop();
    core_.loader.stop();
    core_.batcher.stop();
    core_.health.stop();
    core_.threads.stop();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  std::shared_ptr<CallHandle> call(std::function<Result<Request>()> make, CallSize size,
                                   std::shared_ptr<ReplySink> sink) {
    const TicketPtr ticket = core_.admission->admit(size);
    const auto call = open_call(ticket, std::move(sink));
    if (!ticket) return call;
    const auto lane =
        size.arguments <= kSmallCallBytes ? CallThreads::Lane::small : CallThreads::Lane::large;
    guarded(*call, [&] {
      core_.threads.post(lane,
                         [this, call, ticket, make = std::move(make)] { run(call, ticket, make); });
    });
    return call;
  }

  std::shared_ptr<CallHandle> call_here(const std::function<Result<Request>()>& make, CallSize size,
                                        std::shared_ptr<ReplySink> sink) {
    const TicketPtr ticket = core_.admission->admit(size);
    const auto call = open_call(ticket, std::move(sink));
    if (ticket) run(call, ticket, make);
    return call;
  }

  bool drain(std::chrono::milliseconds timeout) {
    core_.admission->close();
    if (!core_.admission->wait_until_empty(timeout)) return false;
    core_.batcher.drain();
    return true;
  }

  Core& core() { return core_; }

 private:
  /// Refused at once without a ticket.
  std::shared_ptr<Call> open_call(const TicketPtr& ticket, std::shared_ptr<ReplySink> sink) {
    auto call = std::make_shared<Call>(core_.counters, ticket, std::move(sink));
    if (!ticket) call->fail(errors::overloaded(retry_after(core_)));
    return call;
  }

  void run(const std::shared_ptr<Call>& call, const TicketPtr& ticket,
           const std::function<Result<Request>()>& make) {
    if (!call->open()) return;
    guarded(*call, [&] {
      Result<Request> request = make();
      if (!request) return call->fail(request.error());
      if (const auto* options = options_of(*request)) call->set_trace(options->trace);
      std::visit(Execution(core_, call, ticket), *request);
    });
  }

  Core core_;
};

Service::Service(ServiceOptions options, std::vector<LoadedModel> models)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(models))) {}
Service::~Service() = default;

const RequestLimits& Service::limits() const { return impl_->core().options.limits; }

std::shared_ptr<CallHandle> Service::call(std::function<Result<Request>()> make, CallSize size,
                                          std::shared_ptr<ReplySink> sink) {
  return impl_->call(std::move(make), size, std::move(sink));
}

std::shared_ptr<CallHandle> Service::call_here(const std::function<Result<Request>()>& make,
                                               CallSize size, std::shared_ptr<ReplySink> sink) {
  return impl_->call_here(make, size, std::move(sink));
}

bool Service::drain(std::chrono::milliseconds timeout) { return impl_->drain(timeout); }

void Service::start_checking(SelfCheckOptions options) {
  impl_->core().self_check.start(std::move(options));
}

void Service::stop_checking() { impl_->core().self_check.stop(); }

Value Service::info() const { return info_value(impl_->core()); }

const std::vector<std::string>& service_functions() {
  static const std::vector<std::string> names = {
      "embed_tokens", "encode", "get_load", "health",     "info",     "load_model",
      "metrics",      "models", "predict",  "similarity", "tokenize", "unload_model"};
  return names;
}

const std::vector<std::string>& service_options() {
  static const std::vector<std::string> names = {
      "dimensions", "fingerprint", "format", "normalize", "pieces",          "priority", "prompt",
      "timeout_ms", "timings",     "trace",  "truncate",  "truncation_side", "usage"};
  return names;
}

}  // namespace ml_worker
