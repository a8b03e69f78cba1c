// The threads that decode, tokenize and write replies.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace ml_worker {

/// Two lanes, so that a probe or a one-text call never waits behind the tokenizing or the reply of
/// a bulk job: `threads` threads serve both, large work first, and one more serves small work only.
/// Whoever posts bounds what is posted (Admission).
class CallThreads {
 public:
  enum class Lane { small, large };
  using Task = std::function<void()>;

  explicit CallThreads(int threads);
  ~CallThreads();
  CallThreads(const CallThreads&) = delete;
  CallThreads& operator=(const CallThreads&) = delete;

  void post(Lane lane, Task task);
  /// Returns when everything posted has run.
  void stop();

 private:
  void serve(bool small_only);
  bool take(bool small_only, Task& task);  // REQUIRES: mutex_ held

  std::mutex mutex_;
  std::condition_variable small_posted_;
  std::condition_variable any_posted_;
  std::deque<Task> small_;
  std::deque<Task> large_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace ml_worker
