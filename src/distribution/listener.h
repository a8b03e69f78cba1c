// Accepts connections, and goes on accepting when the process is out of descriptors.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "distribution/asio.h"
#include "distribution/log_limit.h"

namespace ml_worker::distribution {

/// Used on the node's thread only.
class Listener : public std::enable_shared_from_this<Listener> {
 public:
  using Accepted = std::function<void(asio::ip::tcp::socket)>;

  /// Binds to `address` and the first free port of the range (0: any).
  /// Throws StartupError(network).
  Listener(asio::io_context& io, const std::string& address, std::uint16_t port_from,
           std::uint16_t port_to);

  void start(Accepted accepted);
  void close();
  std::uint16_t port() const { return port_; }

 private:
  void bind(const asio::ip::address& address, std::uint16_t port, std::error_code& error);
  void accept();
  void pause(const std::error_code& why);

  asio::io_context& io_;
  asio::ip::tcp::acceptor acceptor_;
  asio::steady_timer pause_timer_;
  Accepted accepted_;
  std::uint16_t port_ = 0;
  LogLimiter log_limiter_;
};

}  // namespace ml_worker::distribution
