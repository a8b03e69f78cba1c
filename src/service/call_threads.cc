#include "service/call_threads.h"

#include <algorithm>
#include <utility>

#include "ml_worker/log.h"

namespace ml_worker {
namespace {

void run_contained(const CallThreads::Task& task) {
  log::contained("a task of a call thread failed", task);
}

}  // namespace

CallThreads::CallThreads(int threads) {
  threads_.emplace_back([this] { serve(true); });
  for (int i = 0; i < std::max(threads, 1); ++i) threads_.emplace_back([this] { serve(false); });
}

CallThreads::~CallThreads() { stop(); }

// A small task wakes two threads: the small lane's own may be busy, and so may all others.
void CallThreads::post(Lane lane, Task task) {
  {
    const std::lock_guard lock(mutex_);
    (lane == Lane::small ? small_ : large_).push_back(std::move(task));
  }
  if (lane == Lane::small) small_posted_.notify_one();
  any_posted_.notify_one();
}

void CallThreads::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  small_posted_.notify_all();
  any_posted_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  // What the last tasks posted after the other threads had gone.
  Task task;
  while (take(false, task)) run_contained(std::exchange(task, nullptr));
}

bool CallThreads::take(bool small_only, Task& task) {
  std::deque<Task>& lane = small_only || large_.empty() ? small_ : large_;
  if (lane.empty()) return false;
  task = std::move(lane.front());
  lane.pop_front();
  return true;
}

void CallThreads::serve(bool small_only) {
  std::condition_variable& posted = small_only ? small_posted_ : any_posted_;
  std::unique_lock lock(mutex_);
  while (true) {
    Task task;
    posted.wait(lock, [&] { return take(small_only, task) || stopping_; });
    if (!task) return;
    lock.unlock();
    run_contained(task);
    task = nullptr;
    lock.lock();
  }
}

}  // namespace ml_worker
