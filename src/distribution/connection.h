// An authenticated connection: the only reader and writer of its transport.
#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "distribution/handshaker.h"
#include "distribution/messages.h"
#include "distribution/send_deadline.h"
#include "distribution/send_queue.h"
#include "distribution/session.h"
#include "distribution/ticks.h"
#include "distribution/transport.h"

namespace ml_worker::distribution {

struct ConnectionLimits {
  std::chrono::milliseconds tick_interval;
  std::chrono::milliseconds peer_timeout;
  std::chrono::milliseconds send_timeout;  ///< without a byte taken by the peer
  ReassemblyLimits reading;
  std::size_t max_unsent_bytes;
};

/// Used on the node's thread only. Lives while an operation of it is under way.
class Connection final : public Outbox, public std::enable_shared_from_this<Connection> {
 public:
  using Closed = std::function<void(Connection&, const std::string& why)>;

  Connection(asio::io_context& io, Established established, NodeContext& context,
             const ConnectionLimits& limits, Closed closed);

  void start();
  /// Sends what waits, then says that no more will come, and closes when the peer does.
  void drain();
  /// Closes at once and aborts the peer's calls. Idempotent; calls `closed` once, later.
  void close(std::string why);

  const std::string& peer_name() const { return peer_name_; }
  const std::string& address() const { return address_; }

  void send(OutMessage message) override;
  std::size_t unsent_bytes() const override { return output_.bytes(); }

 private:
  void read();
  void on_bytes(ByteView input);
  bool on_event(FrameSplitter::Event event);
  void on_tick();
  void on_frame(Frame frame);

  void pushed(std::size_t bytes_before);
  void schedule_write();
  void write();
  void on_written(std::size_t count);
  void arm_send_timer();

  void arm_tick_timer();
  void on_tick_timer();

  asio::io_context& io_;
  asio::steady_timer tick_timer_;
  asio::steady_timer send_timer_;
  std::unique_ptr<Transport> transport_;
  std::string peer_name_;
  std::string address_;
  ConnectionLimits limits_;
  Closed closed_;
  std::shared_ptr<Session> session_;

  FrameSplitter splitter_;
  MessageReader messages_;
  TickPolicy ticks_;
  std::optional<OutMessage> question_;  ///< what the peer answers in any case, if it can be asked
  std::array<char, 65536> input_{};
  Bytes unread_;

  SendQueue output_;
  SendDeadline send_deadline_;
  bool write_scheduled_ = false;
  bool writing_ = false;
  bool draining_ = false;
  bool over_ = false;
};

}  // namespace ml_worker::distribution
