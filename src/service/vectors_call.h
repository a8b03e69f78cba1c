// The life of one call that asks for vectors: encode, predict, similarity.
//
// start() runs on a call thread: it looks every text up in the cache, tokenizes the others, joins
// those that are being computed already and submits the rest. Of a large call it does so with the
// first part of the texts, and posts a task for each further one: they are tokenized on all call
// threads while the device computes. Vectors arrive on the device thread, in any order; the last
// one posts finish() to a call thread, the first failure posts the failure. Equal texts of one call
// are one text with several places.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ml_worker/service.h"
#include "service/admission.h"
#include "service/device_call.h"
#include "service/in_flight.h"
#include "service/inputs.h"
#include "service/text_promise.h"
#include "service/vectors.h"

namespace ml_worker {

class VectorsCall : public DeviceCall, public TextWaiter {
 public:
  /// Makes the answer of the vectors, which stand in the order of the inputs.
  using Answer = std::function<void(ReplySink&, VectorsReply)>;

  VectorsCall(Core& core, std::shared_ptr<Call> call, std::shared_ptr<Encoder> model,
              EncodeOptions options, Answer answer);

  /// `ticket` is told when the texts are tokenized. Returns without waiting for the device.
  void start(std::vector<Input> inputs, std::shared_ptr<Admission::Ticket> ticket);

  Interest interest(Clock::time_point now) const override { return interest_at(now); }
  void text_ready(std::size_t slot, std::shared_ptr<const CachedVector> vector,
                  const ForwardTimes& times) override;
  void text_failed(const Error& error, const ForwardTimes& times) override;

 private:
  /// A text that is not in the cache.
  struct Missing {
    std::size_t slot;
    std::string key;
    Tokens tokens;
  };

  /// The texts that are not in the cache, on their way to the device.
  struct Parts;

  /// What no other call computes yet.
  struct Created {
    std::vector<std::shared_ptr<TextPromise>> promises;
    std::vector<WorkItem> items;
  };

  std::optional<Error> prepare(std::vector<Input>& inputs);
  std::vector<Missing> look_up(const std::vector<Input>& inputs);
  std::size_t part_size(std::size_t texts) const;
  void run_part(Parts& parts, std::size_t index);
  bool tokenize(Parts& parts, std::size_t index);
  std::optional<Error> first_too_long(const std::vector<Missing>& missing) const;
  void compute(Parts& parts, std::size_t index);
  /// `crowd`: texts of this call that go to the device, these included.
  Created join(std::span<Missing> missing, std::size_t crowd);
  std::shared_ptr<TextPromise> make_promise(std::shared_ptr<InFlight::Computation> computation,
                                            const Tokens& tokens) const;
  WorkItem make_item(const std::shared_ptr<TextPromise>& promise, Tokens tokens) const;
  bool vector_arrived();
  CallThreads::Lane reply_lane() const;
  void finish() override;
  VectorsReply make_reply();
  std::shared_ptr<VectorsCall> self();

  const Answer answer_;
  VectorShape shape_;

  /// The element with the same text that comes first; vectors stand there until finish().
  std::vector<std::size_t> first_equal_;
  std::vector<std::shared_ptr<const CachedVector>> vectors_;
  std::size_t cached_ = 0;
  /// Vectors that are missing, and one for each part that is not submitted: whoever takes the last
  /// one finishes.
  std::atomic<std::size_t> missing_{0};
};

}  // namespace ml_worker
