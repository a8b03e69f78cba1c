#include "service/in_flight.h"

#include <utility>

namespace ml_worker {

/// `subscriptions` is guarded by the table's mutex.
class InFlight::Computation {
 public:
  Computation(std::string text_key, Subscription first) : key(std::move(text_key)) {
    subscriptions.push_back(std::move(first));
  }
  const std::string key;
  std::vector<Subscription> subscriptions;
};

InFlight::Joined InFlight::join(std::string key, Subscription subscription) {
  const std::lock_guard lock(mutex_);
  if (const auto running = table_.find(key); running != table_.end()) {
    running->second->subscriptions.push_back(std::move(subscription));
    return {};
  }
  if (auto found = cache_.peek(key)) return {nullptr, std::move(found)};
  auto created = std::make_shared<Computation>(std::move(key), std::move(subscription));
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
  {
    const std::lock_guard lock(mutex_);
    waiting.swap(computation.subscriptions);
    remove(computation);
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
