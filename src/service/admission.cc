#include "service/admission.h"

#include <utility>

namespace ml_worker {

Admission::Ticket::Ticket(std::shared_ptr<Admission> admission, CallSize size, bool after_close)
    : admission_(std::move(admission)),
      bytes_(size.message),
      untokenized_bytes_(size.arguments),
      after_close_(after_close) {
  admission_->untokenized_bytes_ += size.arguments;
}

Admission::Ticket::~Ticket() {
  tokenized();
  admission_->give_back(*this);
}

void Admission::Ticket::tokenized() {
  admission_->untokenized_bytes_ -= untokenized_bytes_.exchange(0);
}

bool Admission::Ticket::grow(std::size_t bytes) { return admission_->grow(*this, bytes); }

bool Admission::grow(Ticket& ticket, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  const bool alone = before_close_ + after_close_ == 1;
  if (!alone && bytes_ + bytes > max_bytes_) return false;
  bytes_ += bytes;
  ticket.bytes_ += bytes;
  return true;
}

std::shared_ptr<Admission::Ticket> Admission::admit(CallSize size) {
  const std::lock_guard lock(mutex_);
  if (!has_room(size.message)) return nullptr;
  // First, because it may throw: a place without a ticket would never be given back.
  auto ticket = std::make_shared<Ticket>(shared_from_this(), size, closed_);
  ++(closed_ ? after_close_ : before_close_);
  bytes_ += size.message;
  return ticket;
}

bool Admission::has_room(std::size_t bytes) const {
  const std::size_t calls = before_close_ + after_close_;
  return calls < max_calls_ && (calls == 0 || bytes_ + bytes <= max_bytes_);
}

bool Admission::full() const {
  const std::lock_guard lock(mutex_);
  return bytes_ >= max_bytes_ || before_close_ + after_close_ >= max_calls_;
}

void Admission::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
}

bool Admission::wait_until_empty(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  return emptied_.wait_for(lock, timeout, [this] { return before_close_ == 0; });
}

std::size_t Admission::pending_calls() const {
  const std::lock_guard lock(mutex_);
  return before_close_ + after_close_;
}

void Admission::give_back(const Ticket& ticket) {
  const std::lock_guard lock(mutex_);
  --(ticket.after_close() ? after_close_ : before_close_);
  bytes_ -= ticket.bytes_;
  if (before_close_ == 0) emptied_.notify_all();
}

}  // namespace ml_worker
