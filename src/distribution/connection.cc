#include "distribution/connection.h"

#include <algorithm>
#include <utility>

#include "ml_worker/log.h"

namespace ml_worker::distribution {
namespace {

constexpr std::size_t kFramePrefixBytes = 4;
constexpr std::size_t kMaxGatheredBuffers = 64;  // what Asio passes to one system call

}  // namespace

Connection::Connection(asio::io_context& io, Established established, NodeContext& context,
                       const ConnectionLimits& limits, Closed closed)
    : io_(io),
      tick_timer_(io),
      send_deadline_(io),
      transport_(std::move(established.transport)),
      peer_name_(established.peer.name),
      address_(transport_->remote_address()),
      limits_(limits),
      closed_(std::move(closed)),
      session_(std::make_shared<Session>(std::move(established.peer), context, *this)),
      splitter_(kFramePrefixBytes, limits.max_frame_bytes),
      ticks_(limits.tick_interval, limits.peer_timeout, TickPolicy::Clock::now()),
      unread_(std::move(established.unread)) {}

void Connection::start() {
  arm_tick_timer();
  on_bytes(std::exchange(unread_, {}));
  read();
}

void Connection::drain() {
  draining_ = true;
  schedule_write();
}

void Connection::close(std::string why) {
  if (std::exchange(over_, true)) return;
  tick_timer_.cancel();
  send_deadline_.cancel();
  transport_->close();
  // Posted: the caller may be in the middle of a frame, or of the node's list of connections.
  asio::post(io_, [self = shared_from_this(), why = std::move(why)] {
    self->session_->abort();
    self->output_.clear();
    self->closed_(*self, why);
  });
}

// ---- Reading
// --------------------------------------------------------------------------------------

void Connection::read() {
  if (over_) return;
  transport_->async_read_some(
      asio::buffer(input_), [self = shared_from_this()](std::error_code error, std::size_t count) {
        if (error)
          return self->close(error == asio::error::eof ? "closed by the peer" : error.message());
        self->on_bytes(ByteView(self->input_).first(count));
        self->read();
      });
}

void Connection::on_bytes(ByteView input) {
  if (!input.empty()) ticks_.on_read(TickPolicy::Clock::now());
  while (!over_ && !input.empty()) {
    if (!on_event(splitter_.feed(input))) return;
  }
}

bool Connection::on_event(FrameSplitter::Event event) {
  if (event == FrameSplitter::Event::need_more) return false;
  if (event == FrameSplitter::Event::empty) {
    const auto before = ticks_.interval();
    ticks_.on_tick(TickPolicy::Clock::now());
    if (ticks_.interval() < before) arm_tick_timer();
    return true;
  }
  ticks_.on_frame();
  if (session_->on_frame(splitter_.take()) == Session::Verdict::close) {
    close("an unreadable frame");
  }
  return true;
}

// ---- Writing
// --------------------------------------------------------------------------------------

void Connection::send(OutFrame frame) {
  if (over_ || draining_) return;
  if (unsent_bytes_ + frame.size() > limits_.max_unsent_bytes) {
    return close("too much waits to be sent: the peer does not read");
  }
  ticks_.on_write();
  enqueue(std::move(frame.head));
  if (!frame.tail.empty()) enqueue(std::move(frame.tail));
  schedule_write();
}

void Connection::enqueue(Bytes bytes) {
  // Small pieces share a buffer, except with the one that is being written.
  constexpr std::size_t kSmall = 4096;
  unsent_bytes_ += bytes.size();
  const bool shareable = output_.size() > (writing_ ? kMaxGatheredBuffers : 0);
  if (shareable && bytes.size() < kSmall && output_.back().size() < kSmall) {
    return put_bytes(output_.back(), bytes);
  }
  output_.push_back(std::move(bytes));
}

/// Later, so that all that one read causes goes out in one write.
void Connection::schedule_write() {
  if (writing_ || over_ || std::exchange(write_scheduled_, true)) return;
  asio::post(io_, [self = shared_from_this()] {
    self->write_scheduled_ = false;
    self->write();
  });
}

void Connection::write() {
  if (over_ || writing_) return;
  if (output_.empty()) {
    if (draining_) transport_->shutdown_send();
    return;
  }
  writing_ = true;
  arm_send_deadline();
  std::vector<asio::const_buffer> buffers;
  const std::size_t count = std::min(output_.size(), kMaxGatheredBuffers);
  buffers.reserve(count);
  for (std::size_t i = 0; i < count; ++i) buffers.push_back(asio::buffer(output_[i]));
  buffers.front() += front_offset_;
  transport_->async_write_some(
      buffers, [self = shared_from_this()](std::error_code error, std::size_t written) {
        self->writing_ = false;
        if (error) return self->close(error.message());
        self->on_written(written);
      });
}

void Connection::on_written(std::size_t count) {
  unsent_bytes_ -= count;
  front_offset_ += count;
  while (!output_.empty() && front_offset_ >= output_.front().size()) {
    front_offset_ -= output_.front().size();
    output_.pop_front();
  }
  if (output_.empty()) send_deadline_.cancel();
  write();
}

void Connection::arm_send_deadline() {
  send_deadline_.expires_after(limits_.send_timeout);
  send_deadline_.async_wait([self = shared_from_this()](std::error_code error) {
    // An expiry may be on its way to us already when the peer reads after all.
    const bool late = self->send_deadline_.expiry() <= std::chrono::steady_clock::now();
    if (!error && late && self->writing_) self->close("the peer does not read");
  });
}

// ---- Ticks
// ----------------------------------------------------------------------------------------

void Connection::arm_tick_timer() {
  tick_timer_.expires_after(ticks_.interval());
  tick_timer_.async_wait([self = shared_from_this()](std::error_code error) {
    if (!error) self->on_tick_timer();
  });
}

void Connection::on_tick_timer() {
  if (over_) return;
  if (ticks_.peer_is_silent(TickPolicy::Clock::now())) {
    return close("the peer is silent");
  }
  // While something waits to be sent the peer either reads it or is cut by the send deadline.
  if (ticks_.tick_due() && output_.empty() && !draining_) {
    enqueue(Bytes(kFramePrefixBytes, 0));
    schedule_write();
  }
  arm_tick_timer();
}

}  // namespace ml_worker::distribution
