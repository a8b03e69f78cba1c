// The texts that are being computed, and who waits for each: a text asked for by several calls at
// once is computed once.
//
// Who owns what: the Batcher's item holds the Computation; the table holds it too, under its key,
// from join() until it is finished or nobody wants it. A call's life is its own: a computation goes
// on as long as *anybody* waits for it, whoever asked first, and its deadline is in effect the
// latest of its waiters', because each waiter is asked for its own interest when a batch is formed.
// Its place in the Batcher's queue is that of who asked first: who would have a better one by
// itself puts the same computation into the queue once more, and the item whose turn comes first
// computes it.
#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <string>
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
  virtual void text_failed(const Error& error, const ForwardTimes& times) = 0;
};

struct Subscription {
  std::shared_ptr<TextWaiter> waiter;
  std::size_t slot;
};

class InFlight {
 public:
  class Computation;

  /// Where in the queue a text stands: the fewer texts are submitted with it, the less it waits
  /// for.
  struct Place {
    Priority priority = Priority::interactive;
    std::size_t crowd = 1;

    bool much_better_than(const Place& other) const;
  };

  /// Finished vectors go to `cache` before their computation leaves the table, so that no moment is
  /// left in which a text is in neither.
  explicit InFlight(VectorCache& cache) : cache_(cache) {}

  /// One of: a computation for which the caller must submit an item, whether others wait for it too
  /// or not; a vector that was finished in the meantime; neither: joined to a computation under
  /// way, in as good a place.
  struct Joined {
    std::shared_ptr<Computation> created;
    std::shared_ptr<const CachedVector> found;
  };
  Joined join(std::string key, Place place, Subscription subscription);

  /// Asks all who wait. Those that came too late are told so. When none is left the computation
  /// leaves the table (a later call for the text starts a new one), and the answer is `late` or
  /// `cancelled`. `served`: another item has been claimed.
  Interest interest(Computation& computation);

  /// True for the first item of a computation whose turn has come.
  bool claim(Computation& computation);

  /// An item will not be computed. The last one of a computation fails those who wait.
  void give_up(Computation& computation, const Error& error);

  /// Tells all who wait; at most once per computation has an effect.
  void finish(Computation& computation, Result<std::shared_ptr<const CachedVector>> result,
              const ForwardTimes& times);

 private:
  /// A part of all computations, by their keys, which view the computations' own. Threads that
  /// tokenize, batch and answer thousands of texts at once would wait for one another at a single
  /// table.
  struct Table {
    std::mutex mutex;
    std::unordered_map<HashedKey, std::shared_ptr<Computation>, StoredHash> computations;

    void remove(const Computation& computation);  // REQUIRES: mutex held
  };

  void keep(const Computation& computation, const std::shared_ptr<const CachedVector>& vector);

  VectorCache& cache_;
  std::array<Table, 64> tables_;
};

}  // namespace ml_worker
