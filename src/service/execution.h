// Carries one request out; one function per kind of request.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "service/core.h"
#include "service/inputs.h"
#include "service/vectors_call.h"

namespace ml_worker {

class Execution {
 public:
  using Ticket = std::shared_ptr<Admission::Ticket>;
  using Model = ModelTable::Model;

  Execution(Core& core, std::shared_ptr<Call> call, Ticket ticket)
      : core_(core), call_(std::move(call)), ticket_(std::move(ticket)) {}

  void operator()(EncodeRequest& request);
  void operator()(PredictRequest& request);
  void operator()(SimilarityRequest& request);
  void operator()(EmbedTokensRequest& request);
  void operator()(TokenizeRequest& request);
  void operator()(const LoadModelRequest& request);
  void operator()(const UnloadModelRequest& request);
  void operator()(const GetLoadRequest& request);
  void operator()(const HealthRequest& request);
  // Those who only ask are answered while the worker drains, too.
  void operator()(const InfoRequest& request);
  void operator()(const ModelsRequest& request);
  void operator()(const MetricsRequest& request);

 private:
  /// Why new work is refused, if it is.
  std::optional<Error> closed() const;
  /// True if the call was answered with an error.
  bool refused(const std::vector<Input>& inputs);
  /// Runs `work` with the model, now or when it is loaded.
  template <typename Work>
  void with_model(const std::string& name, Work work);
  template <typename Work>
  void with_embedding_model(const std::string& name, Work work);
  void answer_ok(const std::optional<Error>& error);

  Core& core_;
  std::shared_ptr<Call> call_;
  Ticket ticket_;
};

}  // namespace ml_worker
