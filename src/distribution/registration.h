// Our name in epmd: registered while the connection to it is open, and again when it was lost.
#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "distribution/asio.h"
#include "distribution/log_limit.h"
#include "distribution/wire.h"

namespace ml_worker::distribution {

struct RegistrationOptions {
  std::string alive_name;
  std::uint16_t port = 0;  ///< where we listen
  std::uint16_t epmd_port = 0;
  bool start_epmd = true;  ///< before the first registration, if none runs
};

/// Why there is no registration yet.
enum class RegistrationTrouble { no_epmd, name_taken };

/// Used on the node's thread only.
class Registration : public std::enable_shared_from_this<Registration> {
 public:
  Registration(asio::io_context& io, RegistrationOptions options);

  /// Tries until withdraw().
  void start();
  /// Closes the connection: epmd forgets the name.
  void withdraw();

  bool registered() const { return registered_; }
  RegistrationTrouble trouble() const { return trouble_; }

 private:
  void connect();
  void send_request();
  void read_response();
  void on_response(std::size_t count);
  void on_registered();
  void watch();
  void failed(RegistrationTrouble trouble);
  void log_loss();
  void start_epmd_once();
  void retry();

  asio::io_context& io_;
  RegistrationOptions options_;
  std::array<asio::ip::tcp::endpoint, 2> endpoints_;  ///< epmd's, one of them
  asio::ip::tcp::socket socket_;
  asio::steady_timer retry_timer_;
  asio::steady_timer deadline_;
  Bytes request_;
  std::array<char, 256> input_{};
  std::size_t received_ = 0;
  std::chrono::milliseconds backoff_;
  LogLimiter log_limiter_;
  RegistrationTrouble trouble_ = RegistrationTrouble::no_epmd;
  bool registered_ = false;
  bool ever_registered_ = false;
  bool epmd_started_ = false;
  bool withdrawn_ = false;
};

}  // namespace ml_worker::distribution
