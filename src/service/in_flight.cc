#include "service/in_flight.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace ml_worker {

/// `subscriptions` is guarded by the table's mutex.
class InFlight::Computation {
 public:
  Computation(std::string text_key, Priority of_first, Subscription first)
      : key(std::move(text_key)), priority(of_first) {
    subscriptions.push_back(std::move(first));
  }
  const std::string key;
  const Priority priority;
  std::vector<Subscription> subscriptions;
};

InFlight::Joined InFlight::join(std::string key, Priority priority, Subscription subscription) {
  const std::lock_guard lock(mutex_);
  const auto running = table_.find(key);
  if (running == table_.end()) {
    if (auto found = cache_.peek(key)) return {nullptr, std::move(found)};
    return create(std::move(key), priority, std::move(subscription));
  }
  const std::shared_ptr<Computation> other = running->second;
  if (other->priority <= priority) {
    other->subscriptions.push_back(std::move(subscription));
    return {};
  }
  table_.erase(running);
  Joined joined = create(std::move(key), priority, std::move(subscription));
  std::move(other->subscriptions.begin(), other->subscriptions.end(),
            std::back_inserter(joined.created->subscriptions));
  other->subscriptions.clear();
  return joined;
}

InFlight::Joined InFlight::create(std::string key, Priority priority, Subscription first) {
  auto created = std::make_shared<Computation>(std::move(key), priority, std::move(first));
  table_.emplace(created->key, created);
  return {std::move(created), nullptr};
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
    std::erase_if(computation.subscriptions, [&](const Subscription& subscription) {
      const Interest interest = subscription.waiter->interest(now);
      if (interest == Interest::wanted) return false;
      (interest == Interest::late ? late : gone).push_back(subscription);
      return true;
    });
    wanted = !computation.subscriptions.empty();
    if (!wanted) remove(computation);
  }
  for (const Subscription& each : late) each.waiter->text_failed(errors::deadline_exceeded());
  if (wanted) return Interest::wanted;
  return late.empty() ? Interest::cancelled : Interest::late;
}

void InFlight::finish(Computation& computation, Result<std::shared_ptr<const CachedVector>> result,
                      const ForwardTimes& times) {
  if (result) cache_.put(computation.key, *result);
  std::vector<Subscription> waiting;
  std::shared_ptr<Computation> current;  // destroyed after the lock is released
  {
    const std::lock_guard lock(mutex_);
    waiting.swap(computation.subscriptions);
    const auto found = table_.find(computation.key);
    if (found != table_.end() && (result || found->second.get() == &computation)) {
      current = found->second;
      table_.erase(found);
      std::move(current->subscriptions.begin(), current->subscriptions.end(),
                std::back_inserter(waiting));
      current->subscriptions.clear();
    }
  }
  for (const Subscription& each : waiting) {
    if (result) {
      each.waiter->text_ready(each.slot, *result, times);
    } else {
      each.waiter->text_failed(result.error());
    }
  }
}

}  // namespace ml_worker
