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

/// All but `key` is guarded by the table's mutex.
class InFlight::Computation {
 public:
  Computation(std::string text_key, Place of_first, Subscription first)
      : key(std::move(text_key)), place(of_first) {
    subscriptions.push_back(std::move(first));
  }
  const std::string key;
  Place place;            ///< the best of its items'
  std::size_t items = 1;  ///< in the queue, or to be submitted
  bool claimed = false;   ///< an item's turn has come, or nobody waits any more
  std::vector<Subscription> subscriptions;
};

InFlight::Joined InFlight::join(std::string key, Place place, Subscription subscription) {
  const std::lock_guard lock(mutex_);
  const auto running = table_.find(key);
  if (running == table_.end()) {
    if (auto found = cache_.peek(key)) return {nullptr, std::move(found)};
    auto created = std::make_shared<Computation>(std::move(key), place, std::move(subscription));
    table_.emplace(created->key, created);
    return {std::move(created), nullptr};
  }
  Computation& computation = *running->second;
  computation.subscriptions.push_back(std::move(subscription));
  if (computation.claimed || !place.much_better_than(computation.place)) return {};
  computation.place = place;
  ++computation.items;
  return {running->second, nullptr};
}

void InFlight::remove(const Computation& computation) {
  const auto found = table_.find(computation.key);
  if (found != table_.end() && found->second.get() == &computation) table_.erase(found);
}

Interest InFlight::interest(Computation& computation) {
  const Clock::time_point now = Clock::now();
  std::vector<Subscription> gone;  // destroyed after the lock is released
  std::vector<Subscription> late;
  bool wanted = false;
  {
    const std::lock_guard lock(mutex_);
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
      remove(computation);
    }
  }
  for (const Subscription& each : late) tell(each, errors::deadline_exceeded(), {now, now});
  if (wanted) return Interest::wanted;
  return late.empty() ? Interest::cancelled : Interest::late;
}

bool InFlight::claim(Computation& computation) {
  const std::lock_guard lock(mutex_);
  return !std::exchange(computation.claimed, true);
}

void InFlight::give_up(Computation& computation, const Error& error) {
  {
    const std::lock_guard lock(mutex_);
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
    const std::lock_guard lock(mutex_);
    computation.claimed = true;
    waiting.swap(computation.subscriptions);
    remove(computation);
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
