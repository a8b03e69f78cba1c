#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <thread>
#include <utility>

#include "distribution/tls_context.h"
#include "distribution/transport.h"
#include "ml_worker/log.h"
#include "ml_worker/startup_error.h"

namespace ml_worker::distribution {
namespace {

namespace ssl = asio::ssl;

bool is_no_tls(const std::error_code& error) {
  if (error.category() != asio::error::get_ssl_category()) return false;
  switch (ERR_GET_REASON(static_cast<unsigned long>(error.value()))) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
      return true;
    default:
      return false;
  }
}

/// A stream whose other end hung up inside TLS's handshake.
bool is_end(const std::error_code& error) {
  return error == asio::error::eof || error == asio::error::connection_reset ||
         error == ssl::error::stream_truncated;
}

bool is_address(const std::string& host) {
  std::error_code error;
  asio::ip::make_address(host, error);
  return !error;
}

/// As OTP does, an address in a name of the kind that hosts have is taken too.
bool is_for_host(X509* certificate, const std::string& host) {
  return X509_check_ip_asc(certificate, host.c_str(), 0) == 1 ||
         X509_check_host(certificate, host.data(), host.size(), 0, nullptr) == 1;
}

/// Asio's verify callback: called for each certificate of the chain, the peer's own is at depth 0.
bool check_host(bool trusted, ssl::verify_context& context, const std::string& host) {
  X509_STORE_CTX* chain = context.native_handle();
  if (!trusted || X509_STORE_CTX_get_error_depth(chain) != 0) return trusted;
  if (is_for_host(X509_STORE_CTX_get_current_cert(chain), host)) return true;
  X509_STORE_CTX_set_error(chain, X509_V_ERR_HOSTNAME_MISMATCH);
  return false;
}

/// Computes TLS's handshakes, one after the other, in a thread of its own: a hello of a stranger
/// may cost ten milliseconds (long keys), and many may come at once.
class HandshakeThread {
 public:
  HandshakeThread() : thread_([this] { run(); }) {}
  ~HandshakeThread() {
    io_.stop();
    thread_.join();
  }
  HandshakeThread(const HandshakeThread&) = delete;
  HandshakeThread& operator=(const HandshakeThread&) = delete;

  asio::io_context::executor_type executor() { return io_.get_executor(); }
  /// Held by whatever this thread has to do.
  std::shared_ptr<const bool> counted() const { return counted_; }
  std::size_t to_do() const { return static_cast<std::size_t>(counted_.use_count()) - 1; }

 private:
  void run() {
    while (!io_.stopped()) {
      log::contained("an event failed", [this] { io_.run(); });
    }
  }

  std::shared_ptr<const bool> counted_ = std::make_shared<bool>();
  asio::io_context io_;
  asio::executor_work_guard<asio::io_context::executor_type> stays_{io_.get_executor()};
  std::thread thread_;  // last: it uses all of the above
};

/// A TLS connection's socket and state. Operations under way share it with the transport. While it
/// is being opened only the handshakes' thread touches it, before and after only the node's.
struct TlsStream {
  TlsStream(asio::ip::tcp::socket socket, std::shared_ptr<ssl::context> made_with)
      : context(std::move(made_with)), stream(std::move(socket), *context) {}

  std::shared_ptr<ssl::context> context;  ///< a reload must not take it away
  ssl::stream<asio::ip::tcp::socket> stream;
  bool opening = false;  ///< of the node's thread
};

/// What the handshakes' thread has of a transport. What is declared first is given back last.
struct Opening {
  Opening(const HandshakeThread& thread, std::shared_ptr<TlsStream> of, Transport::Opened then)
      : counted(thread.counted()),
        tls(std::move(of)),
        opened(std::move(then)),
        node(asio::make_work_guard(tls->stream.get_executor())) {}

  std::shared_ptr<const bool> counted;
  std::shared_ptr<TlsStream> tls;
  Transport::Opened opened;
  asio::executor_work_guard<asio::any_io_executor> node;
};

class TlsTransport final : public Transport {
 public:
  using Side = ssl::stream_base::handshake_type;

  /// `thread` outlives it.
  TlsTransport(asio::ip::tcp::socket socket, std::shared_ptr<ssl::context> context, Side side,
               HandshakeThread& thread)
      : side_(side),
        thread_(thread),
        address_(address_of(socket)),
        tls_(std::make_shared<TlsStream>(std::move(socket), std::move(context))) {
    set_up(tls_->stream.next_layer());
  }

  void expect_host(const std::string& host) {
    tls_->stream.set_verify_callback([host](bool trusted, ssl::verify_context& context) {
      return check_host(trusted, context, host);
    });
  }
  SSL* native() { return tls_->stream.native_handle(); }

  void async_open(Opened opened) override {
    tls_->opening = true;
    const auto there = thread_.executor();
    asio::post(there, [there, side = side_,
                       opening = Opening(thread_, tls_, std::move(opened))]() mutable {
      auto& stream = opening.tls->stream;
      stream.async_handshake(
          side,
          asio::bind_executor(there, [opening = std::move(opening)](std::error_code error) mutable {
            hand_back(std::move(opening), error);
          }));
    });
  }
  void async_read_some(asio::mutable_buffer buffer, Handler handler) override {
    tls_->stream.async_read_some(
        buffer, [tls = tls_, handler = std::move(handler)](std::error_code error, std::size_t got) {
          // Frames have lengths: an end without TLS's own goodbye is as good as one with it.
          const bool cut = error == ssl::error::stream_truncated;
          handler(cut ? asio::error::make_error_code(asio::error::eof) : error, got);
        });
  }
  void async_write_some(const std::vector<asio::const_buffer>& buffers, Handler handler) override {
    tls_->stream.async_write_some(
        buffers, [tls = tls_, handler = std::move(handler)](
                     std::error_code error, std::size_t sent) { handler(error, sent); });
  }
  void shutdown_send() override {
    tls_->stream.async_shutdown([tls = tls_](std::error_code) {});
  }
  void close() override {
    if (!tls_->opening) return close_socket(*tls_);
    asio::post(thread_.executor(),
               [opening = Opening(thread_, tls_, {})] { close_socket(*opening.tls); });
  }
  std::size_t handshake_prefix_bytes() const override { return 4; }
  std::string remote_address() const override { return address_; }

 private:
  static void close_socket(TlsStream& tls) {
    std::error_code ignored;
    tls.stream.next_layer().close(ignored);
  }

  /// To the node's thread; on this one nothing is left.
  static void hand_back(Opening opening, std::error_code error) {
    std::string failure = error ? why_not_open(*opening.tls, error) : "";
    const auto node = opening.node.get_executor();
    asio::post(node, [opening = std::move(opening), failure = std::move(failure)] {
      opening.tls->opening = false;
      opening.opened(failure);
    });
  }

  static std::string why_not_open(TlsStream& tls, std::error_code error) {
    const long verified = SSL_get_verify_result(tls.stream.native_handle());
    if (verified != X509_V_OK)
      return std::string("TLS: the peer's certificate: ") + X509_verify_cert_error_string(verified);
    if (is_no_tls(error)) return "the peer does not speak TLS, and we do: " + error.message();
    if (is_end(error))
      return "the peer closed the connection in TLS's handshake; it may speak none";
    return "TLS: " + error.message();
  }

  Side side_;
  HandshakeThread& thread_;
  std::string address_;
  std::shared_ptr<TlsStream> tls_;
};

class TlsTransports final : public TransportFactory {
 public:
  explicit TlsTransports(TlsOptions options)
      : options_(std::move(options)), contexts_(make_tls_contexts(options_)) {}

  std::unique_ptr<Transport> accepted(asio::ip::tcp::socket socket) const override {
    return std::make_unique<TlsTransport>(std::move(socket), contexts_.server,
                                          ssl::stream_base::server, thread_);
  }
  std::unique_ptr<Transport> dialled(asio::ip::tcp::socket socket,
                                     const std::string& host) const override {
    auto transport = std::make_unique<TlsTransport>(std::move(socket), contexts_.client,
                                                    ssl::stream_base::client, thread_);
    if (checks_host()) transport->expect_host(host);
    // SNI, for which an address is no name.
    if (!is_address(host)) SSL_set_tlsext_host_name(transport->native(), host.c_str());
    return transport;
  }
  void reload() override {
    try {
      contexts_ = make_tls_contexts(options_);
      log::info("TLS files read again", {{"certificate", options_.certificate.string()}});
    } catch (const StartupError& error) {
      log::error("TLS files not read again, the old ones stay in use", {{"what", error.what()}});
    }
  }
  std::size_t opening() const override { return thread_.to_do(); }

 private:
  bool checks_host() const {
    return options_.verify == TlsOptions::Verify::all ||
           options_.verify == TlsOptions::Verify::dialled;
  }

  TlsOptions options_;
  TlsContexts contexts_;
  /// Making a transport changes nothing else.
  mutable HandshakeThread thread_;
};

}  // namespace

std::unique_ptr<TransportFactory> make_tls_transports(TlsOptions options) {
  return std::make_unique<TlsTransports>(std::move(options));
}

}  // namespace ml_worker::distribution
