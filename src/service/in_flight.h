// The texts that are being computed, and who waits for each: a text asked for by several calls at
// once is computed once.
//
// Who owns what: the Batcher's item holds the Computation; the table holds it too, under its key,
// from join() until it is finished or nobody wants it. A call's life is its own: a computation goes
// on as long as *anybody* waits for it, whoever asked first, and its deadline is in effect the
// latest of its waiters', because each waiter is asked for its own interest when a batch is formed.
// Its place in the Batcher's queue is that of who asked first: who is in a greater hurry gets a
// computation of its own, which takes the other's place and all who wait for it.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ml_worker/batching.h"
#include "ml_worker/cache.h"
#include "ml_worker/keyed_hash.h"

namespace ml_worker {

/// A call that waits for texts. All functions are called without any lock of the table held, but
/// `interest`, which must be quick.
class TextWaiter {
 public:
  virtual ~TextWaiter() = default;
  virtual Interest interest(Clock::time_point now) const = 0;
  /// `slot` is what was given to join().
  virtual void text_ready(std::size_t slot, std::shared_ptr<const CachedVector> vector,
                          const ForwardTimes& times) = 0;
  virtual void text_failed(const Error& error) = 0;
};

struct Subscription {
  std::shared_ptr<TextWaiter> waiter;
  std::size_t slot;
};

class InFlight {
 public:
  class Computation;

  /// Finished vectors go to `cache` before their computation leaves the table, so that no moment is
  /// left in which a text is in neither.
  explicit InFlight(VectorCache& cache) : cache_(cache) {}

  /// One of: a computation made for this key, which the caller must get computed and finish();
  /// a vector that was finished in the meantime; neither: joined to a computation under way, of
  /// this priority or a higher one.
  struct Joined {
    std::shared_ptr<Computation> created;
    std::shared_ptr<const CachedVector> found;
  };
  Joined join(std::string key, Priority priority, Subscription subscription);

  /// Asks all who wait. Those that came too late are told so. When none is left the computation
  /// leaves the table (a later call for the text starts a new one), and the answer is `late` or
  /// `cancelled`.
  Interest interest(Computation& computation);

  /// Tells all who wait, a vector also to those of the computation that took its place; at most
  /// once per computation has an effect.
  void finish(Computation& computation, Result<std::shared_ptr<const CachedVector>> result,
              const ForwardTimes& times);

 private:
  Joined create(std::string key, Priority priority, Subscription first);  // REQUIRES: mutex_ held
  void remove(const Computation& computation);                            // REQUIRES: mutex_ held

  VectorCache& cache_;
  std::mutex mutex_;
  // Keys view the computations' own.
  std::unordered_map<std::string_view, std::shared_ptr<Computation>, KeyedHash> table_;
};

}  // namespace ml_worker
