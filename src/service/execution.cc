#include "service/execution.h"

#include <iterator>
#include <utility>

#include "service/guarded.h"
#include "service/info.h"
#include "service/limits.h"
#include "service/load.h"
#include "service/similarity.h"
#include "service/tokenize.h"
#include "service/tokens_call.h"

namespace ml_worker {
namespace {

std::vector<Input> as_inputs(std::vector<std::string> texts) {
  return {std::make_move_iterator(texts.begin()), std::make_move_iterator(texts.end())};
}

Error no_embedding_model(const ModelDescription& model) {
  return errors::bad_argument(
      "model", "expected an embedding model, got the classification model " + model.name +
                   " (predict gives its scores)");
}

}  // namespace

// The model's state goes first: a failing worker says so rather than that it is on its way out.
std::optional<Error> Execution::closed() const {
  if (auto unhealthy = core_.health.failure()) return unhealthy;
  if (ticket_->after_close()) return errors::draining();
  return std::nullopt;
}

bool Execution::refused(const std::vector<Input>& inputs) {
  auto error = closed();
  if (!error) error = check_limits(inputs, core_.options.limits);
  if (error) call_->fail(*error);
  return error.has_value();
}

template <typename Work>
void Execution::with_model(const std::string& name, Work work) {
  // Shared, because what the loader keeps for later has to be copyable.
  auto shared = std::make_shared<Work>(std::move(work));
  core_.loader.use(name, [call = call_, shared](const Result<Model>& model) {
    if (!model) return call->fail(model.error());
    if (!call->open()) return;
    guarded(*call, [&] { (*shared)(*model); });
  });
}

template <typename Work>
void Execution::with_embedding_model(const std::string& name, Work work) {
  with_model(name, [call = call_, work = std::move(work)](const Model& model) mutable {
    const ModelDescription& about = model->description();
    if (about.task != ModelTask::embedding) return call->fail(no_embedding_model(about));
    work(model);
  });
}

void Execution::operator()(EncodeRequest& request) {
  auto inputs = as_inputs(std::move(request.texts));
  if (refused(inputs)) return;
  with_embedding_model(
      request.model, [&core = core_, call = call_, ticket = ticket_, inputs = std::move(inputs),
                      options = request.options](const Model& model) mutable {
        auto answer = [](ReplySink& sink, const VectorsReply& reply) { sink.embeddings(reply); };
        std::make_shared<VectorsCall>(core, call, model, options, answer)
            ->start(std::move(inputs), ticket);
      });
}

void Execution::operator()(PredictRequest& request) {
  if (refused(request.inputs)) return;
  with_model(request.model, [&core = core_, call = call_, ticket = ticket_,
                             inputs = std::move(request.inputs), single = request.single,
                             options = request.options](const Model& model) mutable {
    const ModelDescription& about = model->description();
    const bool scalars = about.task == ModelTask::classification && about.dimensions == 1;
    auto answer = [single, scalars](ReplySink& sink, VectorsReply reply) {
      reply.scalars = scalars;
      sink.prediction(reply, single);
    };
    std::make_shared<VectorsCall>(core, call, model, options, answer)
        ->start(std::move(inputs), ticket);
  });
}

void Execution::operator()(SimilarityRequest& request) {
  const std::size_t first = request.a.texts.size();
  const std::size_t cosines = first * request.b.texts.size();
  auto inputs = as_inputs(std::move(request.a.texts));
  for (std::string& text : request.b.texts) inputs.emplace_back(std::move(text));
  if (refused(inputs)) return;
  if (cosines > kMaxCosines) {
    return call_->fail(errors::too_large("similarities", cosines, kMaxCosines));
  }
  auto answer = [first, a = request.a.single, b = request.b.single](ReplySink& sink,
                                                                    const VectorsReply& vectors) {
    const Similarities result = similarities(vectors, first, a, b);
    sink.prediction(result.reply, result.single);
  };
  with_embedding_model(request.model,
                       [&core = core_, call = call_, ticket = ticket_, inputs = std::move(inputs),
                        answer, options = request.options](const Model& model) mutable {
                         std::make_shared<VectorsCall>(core, call, model, options, answer)
                             ->start(std::move(inputs), ticket);
                       });
}

void Execution::operator()(EmbedTokensRequest& request) {
  auto inputs = as_inputs(std::move(request.texts));
  if (refused(inputs)) return;
  with_embedding_model(
      request.model, [&core = core_, call = call_, ticket = ticket_, inputs = std::move(inputs),
                      options = request.options](const Model& model) mutable {
        std::make_shared<TokensCall>(core, call, model, options)->start(std::move(inputs), *ticket);
      });
}

void Execution::operator()(TokenizeRequest& request) {
  auto inputs = as_inputs(std::move(request.texts));
  if (refused(inputs)) return;
  with_model(request.model, [call = call_, inputs = std::move(inputs),
                             options = request.options](const Model& model) mutable {
    const Clock::time_point started = Clock::now();
    const auto ids = tokenize_texts(std::move(inputs), options, *model);
    call->times().tokenized(started);
    ids ? call->answer(*ids) : call->fail(ids.error());
  });
}

void Execution::answer_ok(const std::optional<Error>& error) {
  error ? call_->fail(*error) : call_->answer(atom("ok"));
}

void Execution::operator()(const LoadModelRequest& request) {
  ticket_->tokenized();
  if (const auto error = closed()) return call_->fail(*error);
  core_.loader.load(request.model,
                    [self = *this](const auto& error) mutable { self.answer_ok(error); });
}

void Execution::operator()(const UnloadModelRequest& request) {
  ticket_->tokenized();
  if (const auto error = closed()) return call_->fail(*error);
  core_.loader.unload(request.model,
                      [self = *this](const auto& error) mutable { self.answer_ok(error); });
}

void Execution::operator()(const GetLoadRequest&) {
  ticket_->tokenized();
  if (const auto error = closed()) return call_->fail(*error);
  const Result<Value> load = load_value(core_);
  load ? call_->answer(*load) : call_->fail(load.error());
}

void Execution::operator()(const HealthRequest&) {
  ticket_->tokenized();
  if (ticket_->after_close()) return call_->fail(*closed());
  core_.health.check([self = *this](const auto& verdict) mutable { self.answer_ok(verdict); },
                     core_.options.health_max_age);
}

void Execution::operator()(const InfoRequest&) { call_->answer(info_value(core_)); }
void Execution::operator()(const ModelsRequest&) { call_->answer(models_value(core_)); }
void Execution::operator()(const MetricsRequest&) { call_->answer(metrics_value(core_)); }

}  // namespace ml_worker
