// The stream below a connection: TCP, or TLS inside TCP.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "distribution/asio.h"
#include "ml_worker/distribution.h"

namespace ml_worker::distribution {

/// One reader and one writer at a time, all on the node's thread. A handler keeps what its buffers
/// view alive. After close() pending handlers come with an error. It lives until `opened` was
/// called.
class Transport {
 public:
  using Handler = std::function<void(std::error_code, std::size_t)>;
  /// Why the transport could not be opened; "" if it could.
  using Opened = std::function<void(const std::string& failure)>;

  virtual ~Transport() = default;
  /// First, and once: what the two ends have to agree on before the first byte (TLS).
  virtual void async_open(Opened opened) = 0;
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

/// Makes the transport of each connection of a node.
class TransportFactory {
 public:
  virtual ~TransportFactory() = default;
  virtual std::unique_ptr<Transport> accepted(asio::ip::tcp::socket socket) const = 0;
  /// `host`: the part of the peer's name behind the @.
  virtual std::unique_ptr<Transport> dialled(asio::ip::tcp::socket socket,
                                             const std::string& host) const = 0;
  /// Reads its files again, for the connections to come. If that fails all stays as it was.
  virtual void reload() = 0;
  /// Transports that are being opened, or closed meanwhile. Of the sockets' io_context nothing is
  /// used any more by another thread once there is none.
  virtual std::size_t opening() const { return 0; }
};

std::unique_ptr<TransportFactory> make_tcp_transports();
/// Throws StartupError(tls).
std::unique_ptr<TransportFactory> make_tls_transports(TlsOptions options);

/// What every connection needs, whatever is spoken inside.
void set_up(asio::ip::tcp::socket& socket);
/// The peer's address for the log; an IPv4 peer of an IPv6 socket in IPv4's notation.
std::string address_of(const asio::ip::tcp::socket& socket);

}  // namespace ml_worker::distribution
