#include "distribution/handshaker.h"

#include <utility>

namespace ml_worker::distribution {
namespace {

constexpr std::size_t kMaxMessageBytes = 1024;  // the longest has a name of 255 bytes

/// A record of TLS begins with its type (22 handshake, 21 alert) and 3; both are too long for us
/// when they are taken for a length.
bool is_tls_record(ByteView bytes) {
  return bytes.size() >= 2 && (bytes[0] == 22 || bytes[0] == 21) && bytes[1] == 3;
}

}  // namespace

Handshaker::Handshaker(asio::io_context& io, std::unique_ptr<Transport> transport,
                       std::unique_ptr<HandshakeMachine> machine, Done done, Failed failed)
    : deadline_(io),
      transport_(std::move(transport)),
      address_(transport_->remote_address()),
      machine_(std::move(machine)),
      done_(std::move(done)),
      failed_(std::move(failed)) {}

void Handshaker::start(std::chrono::milliseconds timeout) {
  deadline_.expires_after(timeout);
  deadline_.async_wait([self = shared_from_this()](std::error_code error) {
    if (!error) self->fail(self->open_ ? "timed out" : "timed out in TLS's handshake");
  });
  transport_->async_open(
      [self = shared_from_this()](const std::string& failure) { self->on_open(failure); });
}

void Handshaker::on_open(const std::string& failure) {
  if (over_) return;
  if (!failure.empty()) return fail(failure);
  open_ = true;
  HandshakeStep step = machine_->start();
  spoke_first_ = !step.send.empty();
  apply(std::move(step));
  read();
}

void Handshaker::on_end(const std::error_code& error) {
  std::string why = "the peer closed the connection";
  if (error != asio::error::eof) why += ": " + error.message();
  // What a node does that takes our first words for a broken record of TLS.
  if (spoke_first_ && !heard_) why += ", as one does that wants TLS and hears none";
  fail(std::move(why));
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
        if (error) return self->on_end(error);
        self->heard_ = true;
        self->on_bytes(ByteView(self->input_).first(count));
        self->read();
      });
}

void Handshaker::on_bytes(ByteView input) {
  put_bytes(unread_, input);
  while (!over_ && !established_ && failure_.empty()) {
    if (!take_message()) return;
  }
}

/// False when no whole message is there. A length that no message has ends it at once.
bool Handshaker::take_message() {
  const std::size_t prefix = transport_->handshake_prefix_bytes();
  if (unread_.size() < prefix) return false;
  const auto length = static_cast<std::size_t>(WireReader(unread_).number(prefix));
  if (length == 0) return fail("an empty message"), false;
  if (length > kMaxMessageBytes) {
    fail(is_tls_record(unread_) ? "the peer speaks TLS, and we do not"
                                : "a message that is too long");
    return false;
  }
  if (unread_.size() < prefix + length) return false;
  const auto end = unread_.begin() + static_cast<std::ptrdiff_t>(prefix + length);
  const Bytes message(unread_.begin() + static_cast<std::ptrdiff_t>(prefix), end);
  unread_.erase(unread_.begin(), end);
  apply(machine_->on_message(message));
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
        if (error) return self->on_end(error);
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
