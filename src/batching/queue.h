// What waits, bounded, and what comes out of it when a lane is free. Not thread safe.
#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "batching/line.h"
#include "ml_worker/batching.h"

namespace ml_worker {

/// What next_batch() takes out.
struct Selection {
  std::vector<WorkItem> batch;
  std::vector<WorkItem> cancelled;
  std::vector<WorkItem> late;
  std::vector<WorkItem> served;
};

class Queue {
 public:
  explicit Queue(const BatchingOptions& options);

  /// By how many tokens the queue would be too long with `items` and `to_come` tokens more; 0:
  /// there is room.
  std::size_t tokens_over_bound(const std::vector<WorkItem>& items, std::size_t to_come = 0) const;
  void add(std::vector<WorkItem> items, Clock::time_point now);

  /// Something waits that this lane can compute.
  bool has_work_for(std::size_t lane) const { return for_lane_[lane] > 0; }

  /// The batch that the policy chooses for `lane`, and what nobody waits for any more among what
  /// was looked at. `batch` may be empty if something else is not. The work depends on the budget,
  /// not on how much waits.
  Selection next_batch(std::size_t lane, std::size_t idle_lanes);

  std::vector<WorkItem> take_all();

  std::size_t texts() const { return texts_[0] + texts_[1]; }
  std::size_t tokens() const { return tokens_[0] + tokens_[1]; }
  bool full() const { return texts() > 0 && tokens() >= options_.queue_tokens; }

 private:
  using Entries = std::vector<Line::Entry*>;

  Line& line(Priority priority) { return lines_.at(static_cast<std::size_t>(priority)); }
  void count(const std::vector<WorkItem>& items, bool coming);
  void sweep(Selection& selection);
  /// What the policy may choose from in a class; what nobody wants goes to `selection`.
  Entries look(Priority priority, std::size_t lane, Selection& selection);
  void choose(const Entries& window, std::size_t idle_lanes, Selection& selection);

  const BatchingOptions options_;
  std::array<Line, 2> lines_;  ///< by Priority, as the next two
  std::array<std::size_t, 2> tokens_{};
  std::array<std::size_t, 2> texts_{};
  std::vector<std::size_t> for_lane_;   ///< texts whose encoder has a replica for the lane
  std::size_t interactive_tokens_ = 0;  ///< computed since bulk work had its last turn
  std::size_t next_swept_ = 0;
};

}  // namespace ml_worker
