#include "batching/line.h"

#include <algorithm>
#include <chrono>
#include <queue>
#include <tuple>

namespace ml_worker {
namespace {

/// Who names no deadline counts as one who waits this long, so that those who do cannot pass it
/// for ever.
constexpr std::chrono::seconds kPatience{30};

}  // namespace

void Line::add(std::vector<WorkItem> items, Clock::time_point now) {
  for (WorkItem& item : items) {
    const std::uint64_t caller = item.caller;
    Flow& flow = flows_[caller];
    if (flow.entries.empty()) {
      flow.next_share = served_;
      heads_.emplace(served_, caller);
    }
    const std::uint64_t share = flow.next_share;
    flow.next_share += item.input.ids.size();
    const Clock::time_point due = item.deadline.value_or(now + kPatience);
    flow.entries.push_back({std::move(item), share, due});
  }
}

// A merge of the flows: a flow is looked at when its first share has its turn.
std::vector<Line::Entry*> Line::front(std::size_t tokens,
                                      const std::function<bool(const WorkItem&)>& fits) {
  using Cursor = std::tuple<std::uint64_t, std::uint64_t, std::size_t, Flow*>;
  std::priority_queue<Cursor, std::vector<Cursor>, std::greater<>> open;
  std::vector<Entry*> found;
  std::size_t total = 0;
  auto next_head = heads_.begin();
  while (total < tokens) {
    while (next_head != heads_.end() &&
           (open.empty() || next_head->first <= std::get<0>(open.top()))) {
      open.emplace(next_head->first, next_head->second, 0, &flows_.at(next_head->second));
      ++next_head;
    }
    if (open.empty()) break;
    const auto [share, caller, index, flow] = open.top();
    open.pop();
    Entry& entry = flow->entries[index];
    if (index + 1 < flow->entries.size()) {
      open.emplace(flow->entries[index + 1].share, caller, index + 1, flow);
    }
    if (!entry.waiting || !fits(entry.item)) continue;
    found.push_back(&entry);
    total += entry.item.input.ids.size();
  }
  return found;
}

WorkItem Line::take_one(Entry& entry) {
  entry.waiting = false;
  return std::move(entry.item);
}

std::vector<WorkItem> Line::take(const std::vector<Entry*>& entries) {
  std::vector<WorkItem> items;
  std::vector<std::uint64_t> callers;
  items.reserve(entries.size());
  for (Entry* entry : entries) {
    served_ = std::max(served_, entry->share);
    items.push_back(take_one(*entry));
    if (callers.empty() || callers.back() != items.back().caller) {
      callers.push_back(items.back().caller);
    }
  }
  for (const std::uint64_t caller : callers) drop_shells(caller);
  return items;
}

/// A caller with nothing left is forgotten.
void Line::drop_shells(std::uint64_t caller) {
  const auto found = flows_.find(caller);
  if (found == flows_.end()) return;
  Flow& flow = found->second;
  heads_.erase({flow.entries.front().share, caller});
  while (!flow.entries.empty() && !flow.entries.front().waiting) {
    flow.entries.pop_front();
    ++flow.dropped;
  }
  if (flow.entries.empty()) {
    flows_.erase(found);
  } else {
    heads_.emplace(flow.entries.front().share, caller);
  }
}

std::vector<WorkItem> Line::sweep(std::size_t count,
                                  const std::function<bool(const WorkItem&)>& unwanted) {
  std::vector<WorkItem> taken;
  auto found = flows_.lower_bound(swept_.first);
  for (std::size_t seen = 0; seen < count && !flows_.empty(); ++seen) {
    if (found == flows_.end()) found = flows_.begin();
    auto& [caller, flow] = *found;
    if (swept_.first != caller) swept_ = {caller, 0};
    const std::uint64_t index = std::max(swept_.second, flow.dropped) - flow.dropped;
    if (index < flow.entries.size()) {
      Entry& entry = flow.entries[index];
      swept_.second = flow.dropped + index + 1;
      if (entry.waiting && unwanted(entry.item)) taken.push_back(take_one(entry));
      continue;
    }
    ++found;
    swept_ = {caller + 1, 0};
    drop_shells(caller);
  }
  return taken;
}

std::vector<WorkItem> Line::take_all() {
  std::vector<WorkItem> items;
  for (auto& [caller, flow] : flows_) {
    for (Entry& entry : flow.entries) {
      if (entry.waiting) items.push_back(take_one(entry));
    }
  }
  flows_.clear();
  heads_.clear();
  return items;
}

}  // namespace ml_worker
