#include "batching/queue.h"

#include <algorithm>
#include <functional>
#include <unordered_set>
#include <utility>

#include "batching/policy.h"

namespace ml_worker {
namespace {

/// How far the policy sees, in budgets: far enough to fill one with what fits.
constexpr std::size_t kWindowBudgets = 2;
/// Texts beyond that looked at for each batch, so that cancelled and late ones leave the queue long
/// before their turn; so often again while that is what they are.
constexpr std::size_t kSwept = 256;
constexpr int kMostSweeps = 64;

constexpr std::array<Priority, 2> kClasses = {Priority::interactive, Priority::bulk};
/// Of the queue's bound, so that a bulk job leaves room for others.
constexpr std::size_t bulk_part(std::size_t tokens) { return tokens - tokens / 4; }

std::size_t index_of(Priority priority) { return static_cast<std::size_t>(priority); }

Interest interest_of(const WorkItem& item) {
  return item.interest ? item.interest() : Interest::wanted;
}

Waiting seen_by_policy(const Line::Entry& entry) {
  const WorkItem& item = entry.item;
  return {item.encoder.get(), item.input.ids.size(), item.output,
          item.priority,      entry.share,           entry.due};
}

/// Says whether nobody wants an item any more, and puts those that it said so of where they belong.
class Unwanted {
 public:
  bool operator()(const WorkItem& item) {
    const Interest interest = interest_of(item);
    if (interest != Interest::wanted) why_.push_back(interest);
    return interest != Interest::wanted;
  }

  /// `items`: those it answered true for, in that order.
  void move_to(Selection& selection, std::vector<WorkItem> items) const {
    for (std::size_t i = 0; i < items.size(); ++i) {
      place(why_[i], selection).push_back(std::move(items[i]));
    }
  }

 private:
  static std::vector<WorkItem>& place(Interest why, Selection& selection) {
    if (why == Interest::served) return selection.served;
    return why == Interest::late ? selection.late : selection.cancelled;
  }

  std::vector<Interest> why_;
};

}  // namespace

std::size_t tokens_of(const std::vector<WorkItem>& items) {
  std::size_t tokens = 0;
  for (const WorkItem& item : items) tokens += item.input.ids.size();
  return tokens;
}

Queue::Queue(const BatchingOptions& options)
    : options_(options), for_lane_(std::max<std::size_t>(options.lanes, 1)) {}

std::size_t Queue::tokens_over_bound(const std::vector<WorkItem>& items,
                                     std::size_t to_come) const {
  if (texts() == 0 || items.empty()) return 0;
  const std::size_t bound = items.front().priority == Priority::bulk
                                ? bulk_part(options_.queue_tokens)
                                : options_.queue_tokens;
  const std::size_t then = tokens() + tokens_of(items) + to_come;
  return then > bound ? then - bound : 0;
}

void Queue::add(std::vector<WorkItem> items, Clock::time_point now) {
  count(items, true);
  std::array<std::vector<WorkItem>, 2> by_class;
  for (WorkItem& item : items) by_class.at(index_of(item.priority)).push_back(std::move(item));
  for (const Priority each : kClasses) line(each).add(std::move(by_class.at(index_of(each))), now);
}

void Queue::count(const std::vector<WorkItem>& items, bool coming) {
  const auto raise = [&](std::size_t& counter, std::size_t by) {
    counter = coming ? counter + by : counter - by;
  };
  for (const WorkItem& item : items) {
    raise(tokens_.at(index_of(item.priority)), item.input.ids.size());
    raise(texts_.at(index_of(item.priority)), 1);
    const std::size_t lanes = std::min(item.encoder->replicas(), for_lane_.size());
    for (std::size_t lane = 0; lane < lanes; ++lane) raise(for_lane_[lane], 1);
  }
}

Selection Queue::next_batch(std::size_t lane, std::size_t idle_lanes) {
  Selection selection;
  sweep(selection);
  Entries window = look(Priority::interactive, lane, selection);
  const Entries bulk = look(Priority::bulk, lane, selection);
  window.insert(window.end(), bulk.begin(), bulk.end());
  choose(window, idle_lanes, selection);
  return selection;
}

void Queue::sweep(Selection& selection) {
  const std::size_t swept = next_swept_++ % lines_.size();
  std::size_t left = texts_.at(swept);
  for (int sweeps = 0; sweeps < kMostSweeps && left > 0; ++sweeps) {
    const std::size_t looked_at = std::min(kSwept, left);
    Unwanted unwanted;
    auto items = lines_.at(swept).sweep(looked_at, std::ref(unwanted));
    count(items, false);
    const bool all = items.size() == looked_at;
    unwanted.move_to(selection, std::move(items));
    if (!all) return;
    left -= looked_at;
  }
}

Queue::Entries Queue::look(Priority priority, std::size_t lane, Selection& selection) {
  const auto fits = [lane](const WorkItem& item) { return item.encoder->replicas() > lane; };
  Line& waiting = line(priority);
  Entries seen = waiting.front(kWindowBudgets * options_.batch_tokens, fits);
  const std::unordered_set<const Line::Entry*> known(seen.begin(), seen.end());
  for (Line::Entry* entry : waiting.hurried(options_.batch_tokens, options_.batch_tokens, fits)) {
    if (!known.contains(entry)) seen.push_back(entry);
  }
  Unwanted unwanted;
  const auto gone = std::stable_partition(
      seen.begin(), seen.end(), [&](const auto* entry) { return !unwanted(entry->item); });
  auto items = waiting.remove({gone, seen.end()});
  count(items, false);
  unwanted.move_to(selection, std::move(items));
  seen.erase(gone, seen.end());
  return seen;
}

void Queue::choose(const Entries& window, std::size_t idle_lanes, Selection& selection) {
  std::vector<Waiting> waiting;
  waiting.reserve(window.size());
  for (const auto* entry : window) waiting.push_back(seen_by_policy(*entry));
  Entries chosen;
  for (const std::size_t i :
       select_batch(waiting, {options_.batch_tokens, idle_lanes, interactive_tokens_})) {
    chosen.push_back(window[i]);
  }
  if (chosen.empty()) return;
  const Priority priority = chosen.front()->item.priority;
  selection.batch = line(priority).take(chosen);
  count(selection.batch, false);
  const bool bulk_waits =
      priority == Priority::interactive && texts_.at(index_of(Priority::bulk)) > 0;
  interactive_tokens_ = bulk_waits ? interactive_tokens_ + tokens_of(selection.batch) : 0;
}

std::vector<WorkItem> Queue::take_all() {
  std::vector<WorkItem> all;
  for (Line& each : lines_) {
    for (WorkItem& item : each.take_all()) all.push_back(std::move(item));
  }
  count(all, false);
  return all;
}

}  // namespace ml_worker
