// The caller's side of the benchmarks that have no model behind them.
#pragma once

#include <cstdlib>
#include <future>

#include "ml_worker/service.h"

namespace ml_worker {

/// Waits for vectors; anything else ends the benchmark.
class Answered : public ReplySink {
 public:
  void embeddings(const VectorsReply& /*reply*/) override {}
  void prediction(const VectorsReply& /*reply*/, bool /*single*/) override {}
  void token_embeddings(const TokensReply& /*reply*/) override { std::abort(); }
  void value(const Value& /*value*/) override { std::abort(); }
  void failure(const Error& /*error*/) override { std::abort(); }
  void deliver() override { done.set_value(); }
  std::promise<void> done;
};

}  // namespace ml_worker
