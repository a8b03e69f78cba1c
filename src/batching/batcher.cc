#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "batching/forward.h"
#include "batching/queue.h"
#include "batching/speed.h"
#include "ml_worker/batching.h"
#include "ml_worker/log.h"

namespace ml_worker {
namespace {

/// Speed assumed before the first batch, so that a load is never infinite.
constexpr double kGuessedTokensPerSecond = 2000.0;
constexpr double kMaxRetrySeconds = 60.0;
/// Before a lane tries again what it had no memory for.
constexpr std::chrono::milliseconds kPause{10};

void refuse(const std::vector<WorkItem>& items, const Error& error) {
  const Clock::time_point now = Clock::now();
  const Result<std::span<const float>> refusal(error);
  for (const WorkItem& item : items) finish_item(item, refusal, {now, now});
}

/// Leaves out what another item has taken over meanwhile.
void claim(std::vector<WorkItem>& batch) {
  std::erase_if(batch, [](const WorkItem& item) { return item.claim && !item.claim(); });
}

/// False if it threw.
template <typename Task>
bool run_contained(const Task& task) {
  return log::contained("a task of the device thread failed", task);
}

}  // namespace

/// `mutex_` guards everything below it and is never held while an encoder or `done` runs.
class Batcher::Impl {
 public:
  explicit Impl(BatchingOptions options)
      : options_(options), queue_(options), lanes_(std::max<std::size_t>(options.lanes, 1)) {
    for (std::size_t i = 0; i < lanes_.size(); ++i) {
      lanes_[i].thread = std::thread([this, i] { run(i); });
    }
  }
  ~Impl() { stop(); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  /// `to_come`: none for what is taken beyond the bound.
  std::optional<Error> submit(std::vector<WorkItem> items, std::optional<std::size_t> to_come) {
    std::stable_sort(items.begin(), items.end(), [](const WorkItem& a, const WorkItem& b) {
      return a.input.ids.size() < b.input.ids.size();
    });
    {
      const std::lock_guard lock(mutex_);
      if (closed_) return errors::draining();
      const std::size_t excess = to_come ? queue_.tokens_over_bound(items, *to_come) : 0;
      if (excess > 0) return errors::overloaded(time_for(excess));
      queue_.add(std::move(items), Clock::now());
    }
    wake_.notify_all();
    return std::nullopt;
  }

  void run_next(std::function<void()> task) {
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) return;
      tasks_.push_back(std::move(task));
    }
    wake_.notify_all();
  }

  double wait_seconds(std::size_t further_tokens) const {
    const std::lock_guard lock(mutex_);
    return seconds_for(queue_.tokens() + running_tokens() + further_tokens);
  }

  bool full() const {
    const std::lock_guard lock(mutex_);
    return queue_.full();
  }

  BatchingStats stats() const {
    const std::lock_guard lock(mutex_);
    BatchingStats result = stats_;
    result.queued_texts = queue_.texts();
    result.queued_tokens = queue_.tokens();
    result.running_tokens = running_tokens();
    result.tokens_per_second = speed_.tokens_per_second();
    result.batch_texts = batch_texts_.snapshot();
    result.batch_tokens = batch_tokens_.snapshot();
    return result;
  }

  void drain() {
    std::unique_lock lock(mutex_);
    closed_ = true;
    idle_.wait(lock, [this] {
      return (queue_.texts() == 0 && idle_lanes() == lanes_.size()) || stopping_;
    });
  }

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
      stopping_ = true;
    }
    wake_.notify_all();
    idle_.notify_all();
    std::call_once(joined_, [this] { end(); });
  }

 private:
  /// A thread with a replica of each model. `busy` and `running_tokens` by `mutex_`.
  struct Lane {
    std::thread thread;
    std::vector<float> rows;  ///< the thread's
    bool busy = false;
    std::size_t running_tokens = 0;
  };

  std::size_t idle_lanes() const {
    return static_cast<std::size_t>(
        std::count_if(lanes_.begin(), lanes_.end(), [](const Lane& lane) { return !lane.busy; }));
  }

  std::size_t running_tokens() const {
    std::size_t tokens = 0;
    for (const Lane& lane : lanes_) tokens += lane.running_tokens;
    return tokens;
  }

  double seconds_for(std::size_t tokens) const {
    const double measured = speed_.tokens_per_second();
    return static_cast<double>(tokens) / (measured > 0.0 ? measured : kGuessedTokensPerSecond);
  }

  std::chrono::milliseconds time_for(std::size_t tokens) const {
    const double seconds = std::min(seconds_for(tokens), kMaxRetrySeconds);
    return std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000.0) + 1);
  }

  bool has_task(std::size_t lane) const { return lane == 0 && !tasks_.empty(); }

  /// The first lane that is idle goes: what is alone is computed by the same thread again and
  /// again, whose caches and helpers are warm.
  bool has_turn(std::size_t lane) const {
    return queue_.has_work_for(lane) &&
           std::all_of(lanes_.begin(), lanes_.begin() + static_cast<std::ptrdiff_t>(lane),
                       [](const Lane& before) { return before.busy; });
  }

  /// Passes the turn on.
  void begin(std::size_t lane) {
    lanes_[lane].busy = true;
    if (queue_.texts() > 0) wake_.notify_all();
  }

  void run(std::size_t lane) {
    std::unique_lock lock(mutex_);
    while (true) {
      wake_.wait(lock, [&] { return stopping_ || has_task(lane) || has_turn(lane); });
      if (stopping_) return;
      const bool went = run_contained([&] { take_turn(lane, lock); });
      if (!lock.owns_lock()) lock.lock();
      lanes_[lane].busy = false;
      if (!went) lanes_[lane].running_tokens = 0;
      idle_.notify_all();
      if (!went) wake_.wait_for(lock, kPause, [this] { return stopping_; });
    }
  }

  void take_turn(std::size_t lane, std::unique_lock<std::mutex>& lock) {
    if (has_task(lane)) {
      begin(lane);
      run_first_task(lock);
    } else {
      run_batch(lane, lock);
    }
  }

  void run_first_task(std::unique_lock<std::mutex>& lock) {
    const std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    run_contained(task);
    lock.lock();
  }

  void run_batch(std::size_t lane, std::unique_lock<std::mutex>& lock) {
    Selection next = queue_.next_batch(lane, idle_lanes());
    begin(lane);
    if (running_tokens() == 0) measured_from_ = Clock::now();
    lanes_[lane].running_tokens = tokens_of(next.batch);
    stats_.cancelled += next.cancelled.size();
    stats_.late += next.late.size();
    lock.unlock();
    refuse(next.cancelled, errors::deadline_exceeded());
    refuse(next.late, errors::deadline_exceeded());
    claim(next.batch);
    compute(lane, next.batch);
    // What items own is the callers' and may be much: freed without the lock.
    next = {};
    lock.lock();
  }

  /// Called without the lock.
  void compute(std::size_t index, const std::vector<WorkItem>& batch) {
    if (batch.empty()) return;
    Lane& lane = lanes_[index];
    batch_texts_.add(batch.size());
    batch_tokens_.add(tokens_of(batch));
    const Clock::time_point started = Clock::now();
    const ForwardCounts counts = forward_batch(
        batch, index, started, lane.rows, [this](const ForwardCounts& further) { count(further); });
    const std::lock_guard lock(mutex_);
    measure(counts);
    ++stats_.batches;
    lane.running_tokens = 0;
  }

  /// Of all lanes together, whether they share a device or not: when something waits, all compute.
  void measure(const ForwardCounts& counts) {
    const Clock::time_point now = Clock::now();
    const std::chrono::duration<double> took = now - measured_from_;
    if (counts.failed == 0) speed_.add(counts.tokens, took.count());
    measured_from_ = now;
  }

  void count(const ForwardCounts& further) {
    const std::lock_guard lock(mutex_);
    stats_.texts += further.texts;
    stats_.tokens += further.tokens;
    stats_.failed += further.failed;
  }

  void end() {
    for (Lane& lane : lanes_) lane.thread.join();
    std::vector<WorkItem> waiting;
    {
      const std::lock_guard lock(mutex_);
      waiting = queue_.take_all();
      tasks_.clear();
    }
    refuse(waiting, errors::draining());
  }

  const BatchingOptions options_;
  Histogram batch_texts_;
  Histogram batch_tokens_;
  std::once_flag joined_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable idle_;
  Queue queue_;
  std::deque<std::function<void()>> tasks_;
  BatchingStats stats_;
  SpeedMeter speed_;
  Clock::time_point measured_from_;  ///< the end of the last batch, or the start of the only one
  bool closed_ = false;
  bool stopping_ = false;

  std::vector<Lane> lanes_;  // last: their threads use all of the above
};

Batcher::Batcher(BatchingOptions options) : impl_(std::make_unique<Impl>(options)) {}
Batcher::~Batcher() = default;

std::optional<Error> Batcher::submit(std::vector<WorkItem> items, std::size_t to_come) {
  return impl_->submit(std::move(items), to_come);
}
std::optional<Error> Batcher::submit_rest(std::vector<WorkItem> items) {
  return impl_->submit(std::move(items), std::nullopt);
}
void Batcher::run_next(std::function<void()> task) { impl_->run_next(std::move(task)); }
double Batcher::wait_seconds(std::size_t further_tokens) const {
  return impl_->wait_seconds(further_tokens);
}
bool Batcher::full() const { return impl_->full(); }
BatchingStats Batcher::stats() const { return impl_->stats(); }
void Batcher::drain() { impl_->drain(); }
void Batcher::stop() { impl_->stop(); }

}  // namespace ml_worker
