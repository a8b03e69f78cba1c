// The life of one embed_tokens call. Token vectors are large and seldom asked for twice: they are
// neither cached nor joined.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "service/admission.h"
#include "service/device_call.h"
#include "service/inputs.h"

namespace ml_worker {

class TokensCall : public DeviceCall {
 public:
  using DeviceCall::DeviceCall;

  /// Returns without waiting for the device. `too_large` with `tokens` where the reply would not
  /// be sensible any more; `overloaded` where all pending calls' vectors and messages have no room.
  void start(std::vector<Input> inputs, Admission::Ticket& ticket);

 private:
  std::optional<Error> prepare(std::vector<Input>& inputs);
  Result<std::vector<Tokens>> tokenize(const std::vector<Input>& inputs) const;
  std::size_t bytes_of_rows(const std::vector<Tokens>& texts) const;
  void compute(std::vector<Tokens> texts);
  WorkItem make_item(std::size_t slot, Tokens tokens);
  void keep(std::size_t slot, const Result<std::span<const float>>& rows,
            const ForwardTimes& times);
  void row_arrived();
  void finish() override;
  std::shared_ptr<TokensCall> self();

  TruncationSide side_ = TruncationSide::right;
  std::vector<std::vector<float>> rows_;
  /// Texts that are missing, and one for start() itself: whoever takes the last one finishes.
  std::atomic<std::size_t> missing_{1};
};

}  // namespace ml_worker
