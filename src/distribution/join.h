// Keeps us connected to a node that may never dial: dials it, and again whenever it was lost.
#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "distribution/handshaker.h"
#include "distribution/look_up.h"

namespace ml_worker::distribution {

struct JoinOptions {
  std::string peer_name;  ///< NAME@HOST
  LocalNode local;
  std::uint16_t epmd_port = 0;  ///< on the peer's host
  std::uint16_t peer_port = 0;  ///< 0: epmd knows it
  std::chrono::milliseconds handshake_timeout{7000};
  /// Runs a function on the node's thread, from any thread; may outlive the node.
  std::function<void(std::function<void()>)> post;
};

/// Used on the node's thread only.
class Joiner : public std::enable_shared_from_this<Joiner> {
 public:
  using Connected = std::function<void(Established)>;

  /// `is_connected`: there is a connection to that node, whoever dialled. `is_dialled`: somebody
  /// who says to be that node shakes hands with us. `is_our_challenge`: it is outstanding in any
  /// handshake of ours. `transports` outlives it.
  Joiner(asio::io_context& io, JoinOptions options, const TransportFactory& transports,
         std::function<bool()> is_connected, std::function<bool()> is_dialled,
         std::function<bool(std::uint32_t)> is_our_challenge, Connected connected);

  void start();
  void stop();

  const std::string& peer_name() const { return options_.peer_name; }
  /// A handshake of ours with the node is under way.
  bool dialling() const { return handshaker_ != nullptr; }
  std::optional<std::uint32_t> outstanding_challenge() const;

 private:
  void check();
  void check_after(std::chrono::milliseconds delay);
  void find_host();
  std::string host() const;
  void on_found(Addresses found);
  void ask_epmd();
  void point_at(std::uint16_t port);
  void prefer(const asio::ip::address& address);
  void send_port_please();
  void read_port();
  void on_port_bytes(std::size_t count);
  void dial(std::uint16_t port);
  bool gives_way();
  void shake_hands();
  void on_connected(Established established);
  void failed(const std::string& why);

  asio::io_context& io_;
  JoinOptions options_;
  const TransportFactory& transports_;
  std::function<bool()> is_connected_;
  std::function<bool()> is_dialled_;
  std::function<bool(std::uint32_t)> is_our_challenge_;
  Connected connected_;
  asio::ip::tcp::socket socket_;
  std::weak_ptr<bool> looking_up_;  ///< there while a look-up is
  std::uint64_t attempt_ = 0;
  Addresses addresses_;  ///< of its host, in the order of trying
  std::vector<asio::ip::tcp::endpoint> endpoints_;
  asio::steady_timer timer_;
  asio::steady_timer deadline_;
  std::shared_ptr<Handshaker> handshaker_;
  Bytes request_;
  std::array<char, 512> input_{};
  std::size_t received_ = 0;
  std::chrono::milliseconds backoff_;
  std::string last_failure_;
  bool gave_way_ = false;
  bool stopped_ = false;
};

}  // namespace ml_worker::distribution
