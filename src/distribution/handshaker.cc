#include "distribution/handshaker.h"

#include <utility>

namespace ml_worker::distribution {
namespace {

constexpr std::size_t kMaxMessageBytes = 1024;  // the longest has a name of 255 bytes

}  // namespace

Handshaker::Handshaker(asio::io_context& io, std::unique_ptr<Transport> transport,
                       std::unique_ptr<HandshakeMachine> machine, Done done, Failed failed)
    : deadline_(io),
      transport_(std::move(transport)),
      address_(transport_->remote_address()),
      machine_(std::move(machine)),
      done_(std::move(done)),
      failed_(std::move(failed)),
      splitter_(transport_->handshake_prefix_bytes(), kMaxMessageBytes) {}

void Handshaker::start(std::chrono::milliseconds timeout) {
  deadline_.expires_after(timeout);
  deadline_.async_wait([self = shared_from_this()](std::error_code error) {
    if (!error) self->fail("timed out");
  });
  apply(machine_->start());
  read();
}

void Handshaker::fail(std::string reason) {
  if (over_) return;
  over_ = true;
  deadline_.cancel();
  transport_->close();
  failed_({address_, machine_->claimed_name(), std::move(reason)});
}

void Handshaker::read() {
  if (over_ || established_ || !failure_.empty()) return;
  transport_->async_read_some(
      asio::buffer(input_), [self = shared_from_this()](std::error_code error, std::size_t count) {
        if (error) return self->fail("the peer closed the connection");
        self->on_bytes(ByteView(self->input_).first(count));
        self->read();
      });
}

void Handshaker::on_bytes(ByteView input) {
  while (!input.empty()) {
    if (established_) return put_bytes(unread_, input);
    if (over_ || !failure_.empty()) return;
    const auto event = splitter_.feed(input);
    if (event == FrameSplitter::Event::need_more) return;
    if (event == FrameSplitter::Event::empty) return fail("an empty message");
    if (!on_message(splitter_.take())) return;
  }
}

bool Handshaker::on_message(Frame frame) {
  if (frame.cut) {
    fail("a message that is too long");
    return false;
  }
  apply(machine_->on_message(frame.bytes));
  return true;
}

void Handshaker::apply(HandshakeStep step) {
  for (const Bytes& message : step.send) {
    put_number(output_, transport_->handshake_prefix_bytes(), message.size());
    put_bytes(output_, message);
  }
  established_ = std::move(step.established);
  failure_ = std::move(step.failure);
  write();
}

void Handshaker::write() {
  if (over_ || !sending_.empty()) return;
  if (output_.empty()) return conclude();
  sending_.swap(output_);
  write_some();
}

void Handshaker::write_some() {
  transport_->async_write_some(
      {asio::buffer(sending_)},
      [self = shared_from_this()](std::error_code error, std::size_t count) {
        if (error) return self->fail("the peer closed the connection");
        self->on_written(count);
      });
}

void Handshaker::on_written(std::size_t count) {
  if (over_) return;
  sending_.erase(sending_.begin(), sending_.begin() + static_cast<std::ptrdiff_t>(count));
  if (sending_.empty()) return write();
  write_some();
}

/// Ends the handshake if the machine has ended, and all of its words are out.
void Handshaker::conclude() {
  if (over_) return;
  if (!failure_.empty()) return fail(failure_);
  if (!established_) return;
  over_ = true;
  deadline_.cancel();
  // The last bytes that were read are still being looked at further up the stack.
  asio::post(deadline_.get_executor(), [self = shared_from_this()] {
    self->done_(
        {std::move(*self->established_), std::move(self->transport_), std::move(self->unread_)});
  });
}

}  // namespace ml_worker::distribution
