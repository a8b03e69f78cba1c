// What the parts of the service share.
#pragma once

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "ml_worker/batching.h"
#include "ml_worker/cache.h"
#include "ml_worker/service.h"
#include "service/admission.h"
#include "service/call.h"
#include "service/call_threads.h"
#include "service/health.h"
#include "service/in_flight.h"
#include "service/model_loader.h"
#include "service/models.h"
#include "service/self_check.h"

namespace ml_worker {

/// As many lanes as the model with the most replicas has; a budget of 0 is the largest that a model
/// names.
inline BatchingOptions batching_options(const ServiceOptions& options, const ModelTable& models) {
  BatchingOptions batching = options.batching;
  std::size_t named = 0;
  for (const auto& model : models.all()) {
    batching.lanes = std::max(batching.lanes, model.encoder->replicas());
    named = std::max(named, model.encoder->description().batch_tokens);
  }
  if (batching.batch_tokens == 0) batching.batch_tokens = named;
  return batching;
}

/// Members stand in the order in which they depend on each other; Service::Impl stops the threads
/// before any of them goes.
struct Core {
  Core(ServiceOptions service_options, std::vector<LoadedModel> loaded)
      : options(std::move(service_options)),
        models(std::move(loaded), options.aliases),
        cache(options.cache_bytes),
        in_flight(cache),
        admission(std::make_shared<Admission>(options.pending_calls, options.pending_bytes)),
        threads(options.tokenizer_threads),
        loader(models, threads, options),
        batcher(batching_options(options, models)),
        health(batcher, models, threads, options.health_timeout),
        self_check(health) {}

  const ServiceOptions options;
  const Clock::time_point started = Clock::now();
  ModelTable models;
  VectorCache cache;
  InFlight in_flight;
  const std::shared_ptr<Admission> admission;
  const std::shared_ptr<CallCounters> counters = std::make_shared<CallCounters>();
  CallThreads threads;
  ModelLoader loader;
  Batcher batcher;
  HealthCheck health;
  SelfCheck self_check;
};

}  // namespace ml_worker
