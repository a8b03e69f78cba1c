#include <algorithm>
#include <condition_variable>
#include <deque>
#include <iterator>
#include <list>
#include <mutex>
#include <thread>
#include <utility>

#include "batching/forward.h"
#include "batching/speed.h"
#include "ml_worker/batching.h"
#include "ml_worker/log.h"

namespace ml_worker {
namespace {

using Items = std::list<WorkItem>;

/// How far a batch looks into the queue: enough to fill any budget, little enough to be walked
/// between two forward passes.
constexpr std::size_t kWindow = 1024;
/// The whole queue is walked for cancelled and late texts at most this often.
constexpr std::chrono::seconds kSweepInterval{1};
/// Speed assumed before the first batch, so that a load is never infinite.
constexpr double kGuessedTokensPerSecond = 2000.0;
constexpr double kMaxRetrySeconds = 60.0;

std::size_t tokens_of(const Items& items) {
  std::size_t tokens = 0;
  for (const WorkItem& item : items) tokens += item.input.ids.size();
  return tokens;
}

Items front_part(Items& queue, std::size_t count) {
  Items part;
  auto end = queue.begin();
  std::advance(end, std::min(count, queue.size()));
  part.splice(part.begin(), queue, queue.begin(), end);
  return part;
}

/// Takes the items that nobody waits for any more out of `items`.
struct Unwanted {
  Items cancelled;
  Items late;
};

Unwanted take_unwanted(Items& items) {
  Unwanted unwanted;
  for (auto it = items.begin(); it != items.end();) {
    const auto item = it++;
    const Interest interest = item->interest ? item->interest() : Interest::wanted;
    if (interest == Interest::wanted) continue;
    Items& to = interest == Interest::late ? unwanted.late : unwanted.cancelled;
    to.splice(to.end(), items, item);
  }
  return unwanted;
}

Items take_batch(Items& items, std::size_t batch_tokens) {
  std::vector<Waiting> waiting;
  waiting.reserve(std::min(items.size(), kWindow));
  for (const WorkItem& item : items) {
    if (waiting.size() == kWindow) break;
    waiting.push_back({item.encoder.get(), item.input.ids.size(), item.output, item.priority,
                       item.deadline, item.caller});
  }
  Items batch;
  auto at = items.begin();
  std::size_t position = 0;
  for (const std::size_t index : select_batch(waiting, batch_tokens)) {
    std::advance(at, index - position);
    batch.splice(batch.end(), items, at++);
    position = index + 1;
  }
  return batch;
}

void refuse(const Items& items, const Error& error) {
  const Clock::time_point now = Clock::now();
  for (const WorkItem& item : items) finish_item(item, error, {now, now});
}

void run_task(const std::function<void()>& task) {
  try {
    task();
  } catch (const std::exception& exception) {
    log::error("a task of the device thread failed", {{"what", exception.what()}});
  } catch (...) {
    log::error("a task of the device thread failed");
  }
}

}  // namespace

/// `mutex_` guards everything below it and is never held while an encoder or a callback runs. The
/// counters include texts that the device thread has taken out of `queue_` to look at them.
class Batcher::Impl {
 public:
  explicit Impl(BatchingOptions options) : options_(options), thread_([this] { run(); }) {}
  ~Impl() { stop(); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  std::optional<Error> submit(std::vector<WorkItem> items) {
    Items incoming(std::make_move_iterator(items.begin()), std::make_move_iterator(items.end()));
    const std::size_t tokens = tokens_of(incoming);
    {
      const std::lock_guard lock(mutex_);
      if (closed_) return errors::draining();
      if (stats_.queued_texts > 0 && stats_.queued_tokens + tokens > options_.queue_tokens) {
        return errors::overloaded(time_until_room(tokens));
      }
      stats_.queued_texts += incoming.size();
      stats_.queued_tokens += tokens;
      queue_.splice(queue_.end(), incoming);
    }
    wake_.notify_one();
    return std::nullopt;
  }

  void run_next(std::function<void()> task) {
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) return;
      tasks_.push_back(std::move(task));
    }
    wake_.notify_one();
  }

  double wait_seconds(std::size_t further_tokens) const {
    const std::lock_guard lock(mutex_);
    return seconds_for(stats_.queued_tokens + stats_.running_tokens + further_tokens);
  }

  bool full() const {
    const std::lock_guard lock(mutex_);
    return stats_.queued_texts > 0 && stats_.queued_tokens >= options_.queue_tokens;
  }

  BatchingStats stats() const {
    const std::lock_guard lock(mutex_);
    BatchingStats result = stats_;
    result.tokens_per_second = speed_.tokens_per_second();
    result.batch_texts = batch_texts_.snapshot();
    result.batch_tokens = batch_tokens_.snapshot();
    return result;
  }

  void drain() {
    std::unique_lock lock(mutex_);
    closed_ = true;
    idle_.wait(lock, [this] { return (stats_.queued_texts == 0 && !busy_) || stopping_; });
  }

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
      stopping_ = true;
    }
    wake_.notify_all();
    idle_.notify_all();
    std::call_once(joined_, [this] { thread_.join(); });
  }

 private:
  double seconds_for(std::size_t tokens) const {
    const double measured = speed_.tokens_per_second();
    return static_cast<double>(tokens) / (measured > 0.0 ? measured : kGuessedTokensPerSecond);
  }

  std::chrono::milliseconds time_until_room(std::size_t tokens) const {
    const std::size_t wanted = std::min(tokens, options_.queue_tokens);
    const std::size_t excess = stats_.queued_tokens + wanted - options_.queue_tokens;
    const double seconds = std::min(seconds_for(excess), kMaxRetrySeconds);
    return std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000.0) + 1);
  }

  void run() {
    std::unique_lock lock(mutex_);
    while (true) {
      wake_.wait(lock, [this] { return stopping_ || !tasks_.empty() || !queue_.empty(); });
      if (stopping_) break;
      busy_ = true;
      if (!tasks_.empty()) {
        run_first_task(lock);
      } else {
        run_batch(lock);
      }
      busy_ = false;
      idle_.notify_all();
    }
    refuse_waiting(lock);
  }

  void run_first_task(std::unique_lock<std::mutex>& lock) {
    const std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    run_task(task);
    lock.lock();
  }

  void run_batch(std::unique_lock<std::mutex>& lock) {
    Items items = front_part(queue_, sweep_is_due() ? queue_.size() : kWindow);
    lock.unlock();
    Unwanted unwanted = take_unwanted(items);
    Items batch = take_batch(items, options_.batch_tokens);
    lock.lock();
    queue_.splice(queue_.begin(), items);
    account_for(unwanted, batch);
    lock.unlock();
    refuse(unwanted.cancelled, errors::deadline_exceeded());
    refuse(unwanted.late, errors::deadline_exceeded());
    compute(batch);
    // What items own is the callers' and may be much: freed without the lock.
    batch.clear();
    unwanted = {};
    lock.lock();
  }

  bool sweep_is_due() {
    const Clock::time_point now = Clock::now();
    if (now - last_sweep_ < kSweepInterval) return false;
    last_sweep_ = now;
    return true;
  }

  void account_for(const Unwanted& unwanted, const Items& batch) {
    const std::size_t running = tokens_of(batch);
    stats_.queued_texts -= unwanted.cancelled.size() + unwanted.late.size() + batch.size();
    stats_.queued_tokens -= tokens_of(unwanted.cancelled) + tokens_of(unwanted.late) + running;
    stats_.running_tokens = running;
    stats_.cancelled += unwanted.cancelled.size();
    stats_.late += unwanted.late.size();
  }

  /// Called without the lock.
  void compute(const Items& batch) {
    if (batch.empty()) return;
    batch_texts_.add(batch.size());
    batch_tokens_.add(tokens_of(batch));
    const Clock::time_point started = Clock::now();
    const ForwardCounts counts = forward_batch(batch, started, rows_);
    const std::chrono::duration<double> took = Clock::now() - started;
    const std::lock_guard lock(mutex_);
    if (counts.failed == 0) speed_.add(counts.tokens, took.count());
    ++stats_.batches;
    stats_.texts += counts.texts;
    stats_.tokens += counts.tokens;
    stats_.failed += counts.failed;
    stats_.running_tokens = 0;
  }

  void refuse_waiting(std::unique_lock<std::mutex>& lock) {
    Items waiting;
    waiting.swap(queue_);
    tasks_.clear();
    stats_.queued_texts = 0;
    stats_.queued_tokens = 0;
    lock.unlock();
    refuse(waiting, errors::draining());
  }

  const BatchingOptions options_;
  Histogram batch_texts_;
  Histogram batch_tokens_;
  std::vector<float> rows_;       // the device thread's
  Clock::time_point last_sweep_;  // the device thread's
  std::once_flag joined_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable idle_;
  Items queue_;
  std::deque<std::function<void()>> tasks_;
  BatchingStats stats_;
  SpeedMeter speed_;
  bool busy_ = false;
  bool closed_ = false;
  bool stopping_ = false;

  std::thread thread_;  // last: it uses all of the above
};

Batcher::Batcher(BatchingOptions options) : impl_(std::make_unique<Impl>(options)) {}
Batcher::~Batcher() = default;

std::optional<Error> Batcher::submit(std::vector<WorkItem> items) {
  return impl_->submit(std::move(items));
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
