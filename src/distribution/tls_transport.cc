#include <openssl/err.h>
#include <openssl/x509v3.h>

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

/// A TLS connection's socket and state. Operations under way share it with the transport.
struct TlsStream {
  TlsStream(asio::ip::tcp::socket socket, std::shared_ptr<ssl::context> made_with)
      : context(std::move(made_with)), stream(std::move(socket), *context) {}

  std::shared_ptr<ssl::context> context;  ///< a reload must not take it away
  ssl::stream<asio::ip::tcp::socket> stream;
};

class TlsTransport final : public Transport {
 public:
  using Side = ssl::stream_base::handshake_type;

  TlsTransport(asio::ip::tcp::socket socket, std::shared_ptr<ssl::context> context, Side side)
      : side_(side),
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
    tls_->stream.async_handshake(side_,
                                 [tls = tls_, opened = std::move(opened)](std::error_code error) {
                                   opened(error ? why_not_open(*tls, error) : "");
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
    std::error_code ignored;
    tls_->stream.next_layer().close(ignored);
  }
  std::size_t handshake_prefix_bytes() const override { return 4; }
  std::string remote_address() const override { return address_; }

 private:
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
  std::string address_;
  std::shared_ptr<TlsStream> tls_;
};

class TlsTransports final : public TransportFactory {
 public:
  explicit TlsTransports(TlsOptions options)
      : options_(std::move(options)), contexts_(make_tls_contexts(options_)) {}

  std::unique_ptr<Transport> accepted(asio::ip::tcp::socket socket) const override {
    return std::make_unique<TlsTransport>(std::move(socket), contexts_.server,
                                          ssl::stream_base::server);
  }
  std::unique_ptr<Transport> dialled(asio::ip::tcp::socket socket,
                                     const std::string& host) const override {
    auto transport = std::make_unique<TlsTransport>(std::move(socket), contexts_.client,
                                                    ssl::stream_base::client);
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

 private:
  bool checks_host() const {
    return options_.verify == TlsOptions::Verify::all ||
           options_.verify == TlsOptions::Verify::dialled;
  }

  TlsOptions options_;
  TlsContexts contexts_;
};

}  // namespace

std::unique_ptr<TransportFactory> make_tls_transports(TlsOptions options) {
  return std::make_unique<TlsTransports>(std::move(options));
}

}  // namespace ml_worker::distribution
