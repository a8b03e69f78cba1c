// Runs a handshake machine over a transport and yields an authenticated peer, or nothing.
#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "distribution/handshake.h"
#include "distribution/transport.h"

namespace ml_worker::distribution {

/// What a handshake turns into.
struct Established {
  Peer peer;
  std::unique_ptr<Transport> transport;
  Bytes unread;  ///< what the peer has sent behind its last message
};

struct HandshakeFailure {
  std::string address;
  std::string claimed_name;
  std::string reason;
};

/// Lives until it has called one of its two handlers, exactly once, from the node's thread.
class Handshaker : public std::enable_shared_from_this<Handshaker> {
 public:
  using Done = std::function<void(Established)>;
  using Failed = std::function<void(HandshakeFailure)>;

  Handshaker(asio::io_context& io, std::unique_ptr<Transport> transport,
             std::unique_ptr<HandshakeMachine> machine, Done done, Failed failed);

  /// `timeout` is for the whole handshake: a peer that trickles bytes gains nothing.
  void start(std::chrono::milliseconds timeout);
  /// Gives up at once. Idempotent.
  void fail(std::string reason);
  /// The name that the peer says to have; empty before it has.
  std::string claimed_name() const { return machine_->claimed_name(); }
  std::optional<std::uint32_t> outstanding_challenge() const {
    return machine_->outstanding_challenge();
  }

 private:
  void on_open(const std::string& failure);
  void on_end(const std::error_code& error);
  void read();
  void on_bytes(ByteView input);
  bool take_message();
  void apply(HandshakeStep step);
  void write();
  void write_some();
  void on_written(std::size_t count);
  void conclude();

  asio::steady_timer deadline_;
  std::unique_ptr<Transport> transport_;
  std::string address_;
  std::unique_ptr<HandshakeMachine> machine_;
  Done done_;
  Failed failed_;
  std::array<char, 2048> input_{};
  Bytes output_;   ///< waits for what is being sent
  Bytes sending_;  ///< not touched while a write is under way
  bool open_ = false;
  bool spoke_first_ = false;
  bool heard_ = false;
  bool over_ = false;
  std::optional<Peer> established_;
  std::string failure_;
  Bytes unread_;  ///< received, and not a whole message yet
};

}  // namespace ml_worker::distribution
