#include "service/text_promise.h"

#include <utility>

#include "ml_worker/log.h"

namespace ml_worker {

TextPromise::TextPromise(InFlight& in_flight, std::shared_ptr<InFlight::Computation> computation,
                         std::shared_ptr<Encoder> model, VectorShape shape, CachedVector measured)
    : in_flight_(in_flight),
      computation_(std::move(computation)),
      model_(std::move(model)),
      shape_(shape),
      measured_(std::move(measured)) {}

TextPromise::~TextPromise() {
  if (kept_) return;
  log::contained("a dropped text could not be withdrawn",
                 [this] { withdraw(errors::model_failed(model_->description().name, "dropped")); });
}

void TextPromise::keep(const Result<std::span<const float>>& raw, const ForwardTimes& times) {
  auto finished = finish(raw);
  kept_ = true;
  in_flight_.finish(*computation_, std::move(finished), times);
}

void TextPromise::withdraw(const Error& error) {
  kept_ = true;
  in_flight_.give_up(*computation_, error);
}

Result<std::shared_ptr<const CachedVector>> TextPromise::finish(
    const Result<std::span<const float>>& raw) {
  if (!raw) return raw.error();
  auto values = finish_vector(*raw, shape_);
  if (!values) return errors::model_failed(model_->description().name, "not finite");
  auto vector = std::make_shared<CachedVector>(measured_);
  vector->values = std::move(*values);
  vector->made = Clock::now();
  return std::shared_ptr<const CachedVector>(std::move(vector));
}

}  // namespace ml_worker
