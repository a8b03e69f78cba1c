// What a text in the batcher's queue owes to those who wait for it.
#pragma once

#include <memory>

#include "ml_worker/batching.h"
#include "service/in_flight.h"
#include "service/vectors.h"

namespace ml_worker {

/// Outlives the call that made it if another call has joined: it holds nothing of the call's. One
/// that is dropped without keep() or withdraw() (no memory half way through a submission; another
/// item was computed) is withdrawn.
class TextPromise {
 public:
  /// `measured`: the token counts of the vector to come.
  TextPromise(InFlight& in_flight, std::shared_ptr<InFlight::Computation> computation,
              std::shared_ptr<Encoder> model, VectorShape shape, CachedVector measured);
  ~TextPromise();
  TextPromise(const TextPromise&) = delete;
  TextPromise& operator=(const TextPromise&) = delete;

  Interest interest() const { return in_flight_.interest(*computation_); }
  bool claim() const { return in_flight_.claim(*computation_); }
  /// Finishes the raw vector and tells those who wait, once.
  void keep(const Result<std::span<const float>>& raw, const ForwardTimes& times);
  /// Its item is not computed: those who wait fail, unless there is another one.
  void withdraw(const Error& error);

 private:
  Result<std::shared_ptr<const CachedVector>> finish(const Result<std::span<const float>>& raw);

  InFlight& in_flight_;
  std::shared_ptr<InFlight::Computation> computation_;
  std::shared_ptr<Encoder> model_;
  VectorShape shape_;
  CachedVector measured_;
  bool kept_ = false;
};

}  // namespace ml_worker
