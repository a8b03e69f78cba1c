#include "distribution/tls_context.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "ml_worker/startup_error.h"

namespace ml_worker::distribution {
namespace {

namespace fs = std::filesystem;
namespace ssl = asio::ssl;

constexpr std::size_t kMaxFileBytes = std::size_t{4} << 20;  // a bundle of all public CAs is 0.3

[[noreturn]] void refuse(const std::string& message) { throw StartupError(ExitCode::tls, message); }

[[noreturn]] void refuse_file(const char* what, const fs::path& path, const std::string& why) {
  refuse(std::string(what) + " " + path.string() + ": " + why);
}

/// What OpenSSL says went wrong; its queue is empty afterwards.
std::string openssl_reason() {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  const char* reason = ERR_reason_error_string(code);
  return reason == nullptr ? "OpenSSL gives no reason" : reason;
}

class Descriptor {
 public:
  explicit Descriptor(const fs::path& path)
      : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

/// Looks at the opened file, not at the path, so that nobody can swap it in between.
void check_secret(int fd, const fs::path& path) {
  struct stat status {};
  if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
    refuse_file("key", path, "expected a regular file");
  if (status.st_uid != ::geteuid() && status.st_uid != 0)
    refuse_file("key", path, "expected it to be owned by root or the user that runs this");
  if ((status.st_mode & 0077) != 0)
    refuse_file("key", path, "expected mode 0400 or 0600, others can read or change it");
}

std::string read_all(int fd, const char* what, const fs::path& path) {
  std::string bytes;
  std::array<char, 65536> piece{};
  for (;;) {
    const ssize_t got = ::read(fd, piece.data(), piece.size());
    if (got < 0) refuse_file(what, path, std::strerror(errno));
    if (got == 0) return bytes;
    bytes.append(piece.data(), static_cast<std::size_t>(got));
    if (bytes.size() > kMaxFileBytes) refuse_file(what, path, "expected at most 4 MiB");
  }
}

std::string read_file(const char* what, const fs::path& path, bool secret) {
  const Descriptor file(path);
  if (file.get() < 0) refuse_file(what, path, std::strerror(errno));
  if (secret) check_secret(file.get(), path);
  return read_all(file.get(), what, path);
}

void use_certificate(ssl::context& context, const fs::path& path) {
  const std::string pem = read_file("certificate", path, false);
  std::error_code error;
  context.use_certificate_chain(asio::buffer(pem), error);
  if (error) refuse_file("certificate", path, "expected PEM: " + error.message());
}

void use_key(ssl::context& context, const TlsOptions& options) {
  const fs::path& path = options.key.empty() ? options.certificate : options.key;
  const std::string pem = read_file("key", path, true);
  std::error_code error;
  // Nobody sits at a terminal to be asked.
  context.set_password_callback(
      [](std::size_t, ssl::context::password_purpose) { return std::string(); });
  context.use_private_key(asio::buffer(pem), ssl::context::pem, error);
  if (error)
    refuse_file("key", path,
                "expected the PEM key, not encrypted, of " + options.certificate.string() + ": " +
                    error.message());
}

void use_authorities(ssl::context& context, const fs::path& path) {
  const std::string pem = read_file("CA", path, false);
  std::error_code error;
  context.add_certificate_authority(asio::buffer(pem), error);
  if (error) refuse_file("CA", path, "expected PEM certificates: " + error.message());
}

/// Names of TLS 1.3 begin with TLS_ and are set apart from those of 1.2.
void use_ciphers(SSL_CTX* context, const std::string& names) {
  std::string older;
  std::string newer;
  for (std::size_t at = 0; at < names.size();) {
    const auto end = std::min(names.find(':', at), names.size());
    const std::string name = names.substr(at, end - at);
    std::string& list = name.rfind("TLS_", 0) == 0 ? newer : older;
    list += (list.empty() ? "" : ":") + name;
    at = end + 1;
  }
  const bool known = (older.empty() || SSL_CTX_set_cipher_list(context, older.c_str()) == 1) &&
                     (newer.empty() || SSL_CTX_set_ciphersuites(context, newer.c_str()) == 1);
  if (!known) refuse("TLS ciphers \"" + names + "\": " + openssl_reason());
}

void set_rules(SSL_CTX* context, const TlsOptions& options) {
  SSL_CTX_set_min_proto_version(
      context, options.minimum == TlsOptions::Minimum::tls13 ? TLS1_3_VERSION : TLS1_2_VERSION);
  // Every connection shows its certificate: none is resumed. A peer's renegotiation costs us more
  // than the peer.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_num_tickets(context, 0);
  // An idle connection gives its buffers of 32 KiB back.
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  // No finite fields: for a stranger's hello with 8192 bits we would compute for 13 ms.
  SSL_CTX_set1_groups_list(context, "X25519:P-256:X448:P-384:P-521");
  use_ciphers(context, options.ciphers);
}

std::shared_ptr<ssl::context> make_context(ssl::context::method method, const TlsOptions& options) {
  auto context = std::make_shared<ssl::context>(method);
  set_rules(context->native_handle(), options);
  use_certificate(*context, options.certificate);
  use_key(*context, options);
  if (options.verify != TlsOptions::Verify::nothing) use_authorities(*context, options.authorities);
  return context;
}

}  // namespace

TlsContexts make_tls_contexts(const TlsOptions& options) {
  using Verify = TlsOptions::Verify;
  ERR_clear_error();
  TlsContexts made{make_context(ssl::context::tls_server, options),
                   make_context(ssl::context::tls_client, options)};
  const bool ask = options.verify == Verify::all || options.verify == Verify::chain;
  made.server->set_verify_mode(ask ? ssl::verify_peer | ssl::verify_fail_if_no_peer_cert
                                   : ssl::verify_none);
  made.client->set_verify_mode(options.verify == Verify::nothing ? ssl::verify_none
                                                                 : ssl::verify_peer);
  return made;
}

}  // namespace ml_worker::distribution
