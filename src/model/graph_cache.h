// Which shapes have a graph: recording one costs as much as many passes, so a shape gets it when it
// comes for the second time, and the one that was not used for longest goes.
#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <utility>

#include "model/pass_shape.h"

namespace ml_worker {

template <typename Graph>
class GraphCache {
 public:
  /// At most `capacity` shapes are remembered, with a graph or without.
  explicit GraphCache(std::size_t capacity) : capacity_(capacity) {}

  /// The graph of `shape`; null if the shape has not come before. `record`: makes it; what it
  /// throws leaves the shape as one that has come once.
  Graph* find(const PassShape& shape, const std::function<std::unique_ptr<Graph>()>& record) {
    for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
      if (entry->first != shape) continue;
      entries_.splice(entries_.begin(), entries_, entry);
      if (!entry->second) entry->second = record();
      return entry->second.get();
    }
    entries_.emplace_front(shape, nullptr);
    if (entries_.size() > capacity_) entries_.pop_back();
    return nullptr;
  }

  /// Any graph that there is; null: none.
  Graph* any() const {
    for (const auto& [shape, graph] : entries_) {
      if (graph) return graph.get();
    }
    return nullptr;
  }

  void clear() { entries_.clear(); }

 private:
  std::size_t capacity_;
  std::list<std::pair<PassShape, std::unique_ptr<Graph>>> entries_;  ///< the latest used first
};

}  // namespace ml_worker
