#include "ml_worker/service.h"

#include <exception>
#include <string>
#include <utility>

#include "ml_worker/log.h"
#include "service/core.h"
#include "service/info.h"
#include "service/limits.h"
#include "service/load.h"
#include "service/tokenize.h"
#include "service/vectors_call.h"

namespace ml_worker {
namespace {

using TicketPtr = std::shared_ptr<Admission::Ticket>;

/// A call that brings more is decoded and tokenized on the lane of large work.
constexpr std::size_t kSmallCallBytes = std::size_t{64} << 10;

/// Carries one request out; one function per kind of request.
class Execution {
 public:
  Execution(Core& core, std::shared_ptr<Call> call, Admission::Ticket& ticket)
      : core_(core), call_(std::move(call)), ticket_(ticket) {}

  void operator()(EncodeRequest& request) {
    start(request.texts, VectorsCall::Kind::encode, request.model, request.options);
  }

  void operator()(PredictRequest& request) {
    const auto kind =
        request.single ? VectorsCall::Kind::predict_single : VectorsCall::Kind::predict;
    start(request.texts, kind, request.model, request.options);
  }

  void operator()(const TokenizeRequest& request) {
    if (refused(request.texts)) return;
    answer(tokenize(request, core_.models));
  }

  void operator()(const GetLoadRequest&) {
    ticket_.tokenized();
    if (ticket_.after_close()) return call_->fail(errors::draining());
    answer(load_value(core_));
  }

  void operator()(const HealthRequest&) {
    ticket_.tokenized();
    if (ticket_.after_close()) return call_->fail(errors::draining());
    core_.health.check(call_);
  }

  // Those who only ask are answered while the worker drains, too.
  void operator()(const InfoRequest&) { call_->answer(info_value(core_)); }
  void operator()(const ModelsRequest&) { call_->answer(models_value(core_)); }
  void operator()(const MetricsRequest&) { call_->answer(metrics_value(core_)); }

 private:
  bool refused(const std::vector<std::string>& texts) {
    auto error =
        ticket_.after_close() ? errors::draining() : check_limits(texts, core_.options.limits);
    if (error) call_->fail(*error);
    return error.has_value();
  }

  void start(const std::vector<std::string>& texts, VectorsCall::Kind kind,
             const std::string& model, const EncodeOptions& options) {
    if (refused(texts)) return;
    std::make_shared<VectorsCall>(core_, call_, kind, model, options)->start(texts, ticket_);
  }

  void answer(const Result<Value>& result) {
    result ? call_->answer(*result) : call_->fail(result.error());
  }

  Core& core_;
  std::shared_ptr<Call> call_;
  Admission::Ticket& ticket_;
};

void fail_internally(Call& call, std::string_view what) {
  log::error("a call failed inside the worker", {{"what", log::printable(what)}});
  call.fail(errors::model_failed("ml_worker", "internal error: " + std::string(what)));
}

}  // namespace

class Service::Impl {
 public:
  Impl(ServiceOptions options, std::vector<std::shared_ptr<Encoder>> models)
      : core_(std::move(options), std::move(models)) {}

  // Whatever waits is answered with `draining` before the threads end.
  ~Impl() {
    core_.admission->close();
    core_.batcher.stop();
    core_.health.stop();
    core_.threads.stop();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  std::shared_ptr<CallHandle> call(std::function<Result<Request>()> make, std::size_t bytes,
                                   std::shared_ptr<ReplySink> sink) {
    const TicketPtr ticket = core_.admission->admit(bytes);
    const auto call = open_call(ticket, std::move(sink));
    if (!ticket) return call;
    const auto lane =
        bytes <= kSmallCallBytes ? CallThreads::Lane::small : CallThreads::Lane::large;
    core_.threads.post(lane,
                       [this, call, ticket, make = std::move(make)] { run(call, *ticket, make); });
    return call;
  }

  std::shared_ptr<CallHandle> call_here(const std::function<Result<Request>()>& make,
                                        std::size_t bytes, std::shared_ptr<ReplySink> sink) {
    const TicketPtr ticket = core_.admission->admit(bytes);
    const auto call = open_call(ticket, std::move(sink));
    if (ticket) run(call, *ticket, make);
    return call;
  }

  void drain() {
    core_.admission->close();
    core_.admission->wait_until_empty();
    core_.batcher.drain();
  }

  const Core& core() const { return core_; }

 private:
  /// Refused at once without a ticket.
  std::shared_ptr<Call> open_call(const TicketPtr& ticket, std::shared_ptr<ReplySink> sink) {
    auto call = std::make_shared<Call>(core_.counters, ticket, std::move(sink));
    if (!ticket) call->fail(errors::overloaded(retry_after(core_)));
    return call;
  }

  void run(const std::shared_ptr<Call>& call, Admission::Ticket& ticket,
           const std::function<Result<Request>()>& make) {
    if (!call->open()) return;
    try {
      Result<Request> request = make();
      if (!request) return call->fail(request.error());
      std::visit(Execution(core_, call, ticket), *request);
    } catch (const std::exception& exception) {
      fail_internally(*call, exception.what());
    } catch (...) {
      fail_internally(*call, "unknown exception");
    }
  }

  Core core_;
};

Service::Service(ServiceOptions options, std::vector<std::shared_ptr<Encoder>> models)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(models))) {}
Service::~Service() = default;

const RequestLimits& Service::limits() const { return impl_->core().options.limits; }

std::shared_ptr<CallHandle> Service::call(std::function<Result<Request>()> make, std::size_t bytes,
                                          std::shared_ptr<ReplySink> sink) {
  return impl_->call(std::move(make), bytes, std::move(sink));
}

std::shared_ptr<CallHandle> Service::call_here(const std::function<Result<Request>()>& make,
                                               std::size_t bytes, std::shared_ptr<ReplySink> sink) {
  return impl_->call_here(make, bytes, std::move(sink));
}

void Service::drain() { impl_->drain(); }

Value Service::info() const { return info_value(impl_->core()); }

const std::vector<std::string>& service_functions() {
  static const std::vector<std::string> names = {"encode",  "get_load", "health",  "info",
                                                 "metrics", "models",   "predict", "tokenize"};
  return names;
}

const std::vector<std::string>& service_options() {
  static const std::vector<std::string> names = {"dimensions", "fingerprint",     "format",
                                                 "normalize",  "timeout_ms",      "timings",
                                                 "truncate",   "truncation_side", "usage"};
  return names;
}

}  // namespace ml_worker
