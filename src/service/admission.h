// Who may come in: a bound on calls and on the bytes of their messages, and the door that drain()
// closes.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

#include "ml_worker/service.h"

namespace ml_worker {

class Admission : public std::enable_shared_from_this<Admission> {
 public:
  Admission(std::size_t max_calls, std::size_t max_bytes)
      : max_calls_(max_calls), max_bytes_(max_bytes) {}

  /// An admitted call's place; given back when the last holder drops it.
  class Ticket {
   public:
    Ticket(std::shared_ptr<Admission> admission, CallSize size, bool after_close);
    ~Ticket();
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;

    /// The call holds so many more bytes until it ends; false: there is no room for them. An empty
    /// house has room for any call's.
    bool grow(std::size_t bytes);
    /// The call's texts are tokenized (or it has none): they no longer count as waiting for that.
    void tokenized();
    bool after_close() const { return after_close_; }

   private:
    friend class Admission;
    std::shared_ptr<Admission> admission_;
    std::size_t bytes_;
    std::atomic<std::size_t> untokenized_bytes_;
    bool after_close_;
  };

  /// None when full. An empty house takes a call of any size.
  std::shared_ptr<Ticket> admit(CallSize size);
  bool full() const;

  /// Later tickets are marked `after_close`: they may ask, but bring no work.
  void close();
  /// Returns when every ticket given before close() is back, or false when some are not in time.
  bool wait_until_empty(std::chrono::milliseconds timeout);

  std::size_t pending_calls() const;
  std::size_t untokenized_bytes() const { return untokenized_bytes_; }

 private:
  bool has_room(std::size_t bytes) const;  // REQUIRES: mutex_ held
  bool grow(Ticket& ticket, std::size_t bytes);
  void give_back(const Ticket& ticket);

  const std::size_t max_calls_;
  const std::size_t max_bytes_;
  mutable std::mutex mutex_;
  std::condition_variable emptied_;
  bool closed_ = false;
  std::size_t before_close_ = 0;
  std::size_t after_close_ = 0;
  std::size_t bytes_ = 0;
  std::atomic<std::size_t> untokenized_bytes_{0};
};

}  // namespace ml_worker
