// The stream below a connection: TCP now; TLS takes the same place.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "distribution/asio.h"

namespace ml_worker::distribution {

/// One reader and one writer at a time, all on the node's thread. A handler keeps what its buffers
/// view alive. After close() pending handlers come with an error.
class Transport {
 public:
  using Handler = std::function<void(std::error_code, std::size_t)>;

  virtual ~Transport() = default;
  virtual void async_read_some(asio::mutable_buffer buffer, Handler handler) = 0;
  virtual void async_write_some(const std::vector<asio::const_buffer>& buffers,
                                Handler handler) = 0;
  /// No more will be written; reading goes on.
  virtual void shutdown_send() = 0;
  virtual void close() = 0;
  /// Bytes of a length prefix in the handshake: 2 on TCP, 4 inside TLS.
  virtual std::size_t handshake_prefix_bytes() const = 0;
  virtual std::string remote_address() const = 0;
};

std::unique_ptr<Transport> make_tcp_transport(asio::ip::tcp::socket socket);

}  // namespace ml_worker::distribution
