#include "service/in_flight.h"

#include <algorithm>
#include <cstdint>
#include <new>
#include <utility>

#include "ml_worker/log.h"

namespace ml_worker {
namespace {

/// A place is worth an item of its own if it saves so much of the way.
constexpr std::size_t kMuch = 4;

void tell(const Subscription& subscription,
          const Result<std::shared_ptr<const CachedVector>>& result, const ForwardTimes& times) {
  log::contained("a call could not be told of its text", [&] {
    if (result) {
      subscription.waiter->text_ready(subscription.slot, *result, times);
    } else {
      subscription.waiter->text_failed(result.error(), times);
    }
  });
}

}  // namespace

bool InFlight::Place::much_better_than(const Place& other) const {
  if (priority != other.priority) return priority < other.priority;
  return crowd < other.crowd / kMuch;
}

/// What is not const is guarded by the table's mutex.
class InFlight::Computation {
 public:
  Computation(Table& in, std::size_t hash, std::string text_key, Place of_first, Subscription first)
      : table(in), key(std::move(text_key)), hashed{hash, key}, place(of_first) {
    subscriptions.push_back(std::move(first));
  }
  Table& table;
  const std::string key;
  const HashedKey hashed;  ///< views `key`
  Place place;             ///< the best of its items'
  std::size_t items = 1;   ///< in the queue, or to be submitted
  bool claimed = false;    ///< an item's turn has come, or nobody waits any more
  std::vector<Subscription> subscriptions;
};

InFlight::Joined InFlight::join(std::string key, Place place, Subscription subscription) {
  const HashedKey hashed = HashedKey::of(key);
  Table& table = tables_.at(hashed.part(tables_.size()));
  const std::lock_guard lock(table.mutex);
  const auto running = table.computations.find(hashed);
  if (running == table.computations.end()) {
    if (auto found = cache_.peek(key)) return {nullptr, std::move(found)};
    auto created = std::make_shared<Computation>(table, hashed.hash, std::move(key), place,
                                                 std::move(subscription));
    table.computations.emplace(created->hashed, created);
    return {std::move(created), nullptr};
  }
  Computation& computation = *running->second;
  computation.subscriptions.push_back(std::move(subscription));
  if (computation.claimed || !place.much_better_than(computation.place)) return {};
  computation.place = place;
  ++computation.items;
  return {running->second, nullptr};
}

void InFlight::Table::remove(const Computation& computation) {
  const auto found = computations.find(computation.hashed);
  if (found != computations.end() && found->second.get() == &computation) computations.erase(found);
}

Interest InFlight::interest(Computation& computation) {
  const Clock::time_point now = Clock::now();
  std::vector<Subscription> gone;  // destroyed after the lock is released
  std::vector<Subscription> late;
  bool wanted = false;
  {
    const std::lock_guard lock(computation.table.mutex);
    if (computation.claimed) return Interest::served;
    std::erase_if(computation.subscriptions, [&](const Subscription& subscription) {
      const Interest interest = subscription.waiter->interest(now);
      if (interest == Interest::wanted) return false;
      (interest == Interest::late ? late : gone).push_back(subscription);
      return true;
    });
    wanted = !computation.subscriptions.empty();
    if (!wanted) {
      computation.claimed = true;
      computation.table.remove(computation);
    }
  }
  for (const Subscription& each : late) tell(each, errors::deadline_exceeded(), {now, now});
  if (wanted) return Interest::wanted;
  return late.empty() ? Interest::cancelled : Interest::late;
}

bool InFlight::claim(Computation& computation) {
  const std::lock_guard lock(computation.table.mutex);
  return !std::exchange(computation.claimed, true);
}

void InFlight::give_up(Computation& computation, const Error& error) {
  {
    const std::lock_guard lock(computation.table.mutex);
    if (--computation.items > 0) {
      // Which places are left is not known: the next who would have a good one submits an item.
      computation.place = {Priority::bulk, SIZE_MAX};
      return;
    }
  }
  const Clock::time_point now = Clock::now();
  finish(computation, error, {now, now});
}

void InFlight::finish(Computation& computation, Result<std::shared_ptr<const CachedVector>> result,
                      const ForwardTimes& times) {
  if (result) keep(computation, *result);
  std::vector<Subscription> waiting;
  {
    const std::lock_guard lock(computation.table.mutex);
    computation.claimed = true;
    waiting.swap(computation.subscriptions);
    computation.table.remove(computation);
  }
  for (const Subscription& each : waiting) tell(each, result, times);
}

/// What the cache has no memory for is answered all the same.
void InFlight::keep(const Computation& computation,
                    const std::shared_ptr<const CachedVector>& vector) {
  try {
    cache_.put(computation.key, vector);
  } catch (const std::bad_alloc&) {
    log::error("no memory to keep a vector");
  }
}

}  // namespace ml_worker
