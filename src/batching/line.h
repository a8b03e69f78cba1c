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

/// Fair queueing: a text's share is where its caller's last one ended or, for a caller that had
/// nothing waiting, where the line stands. The line goes on by what each of the callers that wait
/// would get of the tokens taken: so it passes everybody in the end, however many newcomers there
/// are. Nothing here walks over all that waits.
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

  /// The same, of callers that stand at most `reach` behind the first one, in the order in which
  /// they are due.
  std::vector<Entry*> hurried(std::size_t tokens, std::uint64_t reach,
                              const std::function<bool(const WorkItem&)>& fits);

  /// Takes some of what front() and hurried() gave, to be computed.
  std::vector<WorkItem> take(const std::vector<Entry*>& entries);
  /// Takes some of it out that nobody wants: the line stays where it is.
  std::vector<WorkItem> remove(const std::vector<Entry*>& entries);

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

  void enter(std::uint64_t caller, const Flow& flow);
  void leave(std::uint64_t caller, const Flow& flow);
  void go_on(const std::vector<Entry*>& entries);
  WorkItem take_one(Entry& entry);
  void drop_shells(std::uint64_t caller);

  Flows flows_;
  std::set<std::pair<std::uint64_t, std::uint64_t>> heads_;     ///< share of a flow's first, caller
  std::set<std::pair<Clock::time_point, std::uint64_t>> dues_;  ///< when its first is due, caller
  std::uint64_t served_ = 0;                                    ///< where the line stands
  std::uint64_t undivided_ = 0;  ///< tokens taken that are not yet in `served_`
  /// Where sweep() goes on: caller, number of the entry in its flow.
  std::pair<std::uint64_t, std::uint64_t> swept_{0, 0};
};

}  // namespace ml_worker
