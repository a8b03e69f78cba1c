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
/// Callers that hurried() looks at.
constexpr std::size_t kHurried = 1024;

}  // namespace

void Line::add(std::vector<WorkItem> items, Clock::time_point now) {
  for (WorkItem& item : items) {
    const std::uint64_t caller = item.caller;
    Flow& flow = flows_[caller];
    const bool is_new = flow.entries.empty();
    if (is_new) flow.next_share = served_;
    const std::uint64_t share = flow.next_share;
    flow.next_share += item.input.ids.size();
    const Clock::time_point due = item.deadline.value_or(now + kPatience);
    flow.entries.push_back({std::move(item), share, due});
    if (is_new) enter(caller, flow);
  }
}

void Line::enter(std::uint64_t caller, const Flow& flow) {
  heads_.emplace(flow.entries.front().share, caller);
  dues_.emplace(flow.entries.front().due, caller);
}

void Line::leave(std::uint64_t caller, const Flow& flow) {
  heads_.erase({flow.entries.front().share, caller});
  dues_.erase({flow.entries.front().due, caller});
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

std::vector<Line::Entry*> Line::hurried(std::size_t tokens, std::uint64_t reach,
                                        const std::function<bool(const WorkItem&)>& fits) {
  std::vector<Entry*> found;
  if (heads_.empty()) return found;
  const std::uint64_t last = heads_.begin()->first + reach;
  std::size_t total = 0;
  std::size_t looked = 0;
  for (const auto& [due, caller] : dues_) {
    if (total >= tokens || looked++ == kHurried) break;
    for (Entry& entry : flows_.at(caller).entries) {
      if (total >= tokens || entry.share > last) break;
      if (!entry.waiting) continue;
      if (!fits(entry.item)) break;
      found.push_back(&entry);
      total += entry.item.input.ids.size();
    }
  }
  return found;
}

WorkItem Line::take_one(Entry& entry) {
  entry.waiting = false;
  return std::move(entry.item);
}

std::vector<WorkItem> Line::take(const std::vector<Entry*>& entries) {
  go_on(entries);
  return remove(entries);
}

void Line::go_on(const std::vector<Entry*>& entries) {
  if (entries.empty()) return;
  served_ = std::max(served_, heads_.begin()->first);
  for (const Entry* entry : entries) undivided_ += entry->item.input.ids.size();
  served_ += undivided_ / flows_.size();
  undivided_ %= flows_.size();
}

std::vector<WorkItem> Line::remove(const std::vector<Entry*>& entries) {
  std::vector<WorkItem> items;
  std::vector<std::uint64_t> callers;
  items.reserve(entries.size());
  for (Entry* entry : entries) {
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
  leave(caller, flow);
  while (!flow.entries.empty() && !flow.entries.front().waiting) {
    flow.entries.pop_front();
    ++flow.dropped;
  }
  if (flow.entries.empty()) {
    flows_.erase(found);
  } else {
    enter(caller, flow);
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
  dues_.clear();
  return items;
}

}  // namespace ml_worker
