#include "distribution/connection.h"

#include <utility>

#include "ml_worker/log.h"

namespace ml_worker::distribution {
namespace {

constexpr std::size_t kFramePrefixBytes = 4;

/// A monitor of a name that no process can have: the peer's VM answers `noproc`, whatever its
/// processes do.
std::optional<OutMessage> make_question(const Peer& peer, OurPids& pids) {
  if ((peer.flags & flags::kDistMonitorName) == 0) return std::nullopt;
  const std::uint64_t id = pids.allocate();
  return make_monitor(pids.term(id), "undefined", pids.reference(id));
}

}  // namespace

Connection::Connection(asio::io_context& io, Established established, NodeContext& context,
                       const ConnectionLimits& limits, Closed closed)
    : io_(io),
      tick_timer_(io),
      send_timer_(io),
      transport_(std::move(established.transport)),
      peer_name_(established.peer.name),
      address_(transport_->remote_address()),
      limits_(limits),
      closed_(std::move(closed)),
      splitter_(kFramePrefixBytes, limits.reading.max_message_bytes),
      messages_(limits.reading),
      ticks_(limits.tick_interval, limits.peer_timeout, TickPolicy::Clock::now()),
      question_(make_question(established.peer, context.pids)),
      unread_(std::move(established.unread)),
      output_((established.peer.flags & flags::kFragments) != 0),
      send_deadline_(limits.send_timeout) {
  session_ = std::make_shared<Session>(std::move(established.peer), context, *this);
}

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
  send_timer_.cancel();
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
    on_tick();
  } else {
    on_frame(splitter_.take());
  }
  return true;
}

void Connection::on_tick() {
  const auto before = ticks_.period();
  ticks_.on_tick(TickPolicy::Clock::now());
  if (ticks_.period() < before) arm_tick_timer();
}

void Connection::on_frame(Frame frame) {
  ticks_.on_frame();
  const auto event = messages_.feed(std::move(frame));
  if (event == MessageReader::Event::need_more) return;
  if (event == MessageReader::Event::malformed ||
      session_->on_message(messages_.take()) == Session::Verdict::close) {
    close("an unreadable frame");
  }
}

// ---- Writing
// --------------------------------------------------------------------------------------

void Connection::send(OutMessage message) {
  if (over_ || draining_) return;
  ticks_.on_write();
  const std::size_t before = output_.bytes();
  output_.push(std::move(message));
  pushed(before);
  if (output_.bytes() > limits_.max_unsent_bytes) {
    return close("too much waits to be sent: the peer does not read");
  }
  schedule_write();
}

void Connection::pushed(std::size_t bytes_before) {
  send_deadline_.on_pushed(output_.bytes() - bytes_before, SendDeadline::Clock::now());
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
  send_deadline_.on_progress(output_.bytes(), SendDeadline::Clock::now());
  arm_send_timer();
  std::vector<asio::const_buffer> buffers;
  for (const ByteView view : output_.next()) {
    buffers.emplace_back(view.data(), view.size());
  }
  transport_->async_write_some(
      buffers, [self = shared_from_this()](std::error_code error, std::size_t written) {
        self->writing_ = false;
        if (error) return self->close(error.message());
        if (!self->over_) self->on_written(written);
      });
}

void Connection::on_written(std::size_t count) {
  output_.written(count);
  if (output_.empty()) send_timer_.cancel();
  write();
}

void Connection::arm_send_timer() {
  send_timer_.expires_at(send_deadline_.at());
  send_timer_.async_wait([self = shared_from_this()](std::error_code error) {
    if (error || !self->writing_) return;
    // More may wait by now, or the peer may have read after all when this was on its way to us.
    if (self->send_deadline_.at() > SendDeadline::Clock::now()) return self->arm_send_timer();
    self->close("the peer does not read");
  });
}

// ---- Ticks
// ----------------------------------------------------------------------------------------

void Connection::arm_tick_timer() {
  tick_timer_.expires_after(ticks_.period());
  tick_timer_.async_wait([self = shared_from_this()](std::error_code error) {
    if (!error) self->on_tick_timer();
  });
}

void Connection::on_tick_timer() {
  if (over_) return;
  const auto silence = ticks_.silence(TickPolicy::Clock::now());
  if (silence == TickPolicy::Silence::over) return close("the peer is silent");
  if (silence == TickPolicy::Silence::ask && question_) send(*question_);
  // While something waits to be sent the peer either reads it or is cut by the send deadline.
  if (ticks_.tick_due() && output_.empty() && !draining_) {
    output_.push_tick();
    pushed(0);
    schedule_write();
  }
  arm_tick_timer();
}

}  // namespace ml_worker::distribution
