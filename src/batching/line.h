// The texts of one class that wait, in the order in which their callers share the device evenly.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "ml_worker/batching.h"

namespace ml_worker {

/// Start-time fair queueing: a text's share is where its caller's last one ended or, for a caller
/// that had nothing waiting, where the line stands. Nothing here walks over all that waits.
class Line {
 public:
  struct Entry {
    WorkItem item;
    std::uint64_t share;
    Clock::time_point due;
    bool waiting = true;  ///< false: taken, a shell until those before it are gone
  };

  /// One submission: its texts, all of one caller or not, stand in the order given.
  void add(std::vector<WorkItem> items, Clock::time_point now);

  /// The first texts by share for which `fits` holds, until they are `tokens` long together. An
  /// entry stands until it is taken.
  std::vector<Entry*> front(std::size_t tokens, const std::function<bool(const WorkItem&)>& fits);

  /// Takes some of what front() gave.
  std::vector<WorkItem> take(const std::vector<Entry*>& entries);

  /// Takes those for which `unwanted` holds out of the next `count` texts, going round.
  std::vector<WorkItem> sweep(std::size_t count,
                              const std::function<bool(const WorkItem&)>& unwanted);
  std::vector<WorkItem> take_all();

 private:
  /// One caller's. `entries` begins with one that waits.
  struct Flow {
    std::deque<Entry> entries;
    std::uint64_t dropped = 0;  ///< entries that stood before the first one
    std::uint64_t next_share = 0;
  };
  using Flows = std::map<std::uint64_t, Flow>;

  WorkItem take_one(Entry& entry);
  void drop_shells(std::uint64_t caller);

  Flows flows_;
  std::set<std::pair<std::uint64_t, std::uint64_t>> heads_;  ///< share of a flow's first, caller
  std::uint64_t served_ = 0;                                 ///< largest share taken
  /// Where sweep() goes on: caller, number of the entry in its flow.
  std::pair<std::uint64_t, std::uint64_t> swept_{0, 0};
};

}  // namespace ml_worker
