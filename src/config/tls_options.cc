#include "config/tls_options.h"

#include <arpa/inet.h>

#include "ml_worker/startup_error.h"

namespace ml_worker {

void add_tls_options(CLI::App& app, TlsConfig& tls) {
  app.add_option("--tls-cert", tls.certificate,
                 "Certificate (PEM, then its chain): speak TLS, as erl -proto_dist inet_tls does");
  app.add_option("--tls-key", tls.key,
                 "Its key (PEM), mode 0400 or 0600 (default: in the certificate's file)");
  app.add_option("--tls-ca", tls.authorities, "Certificates (PEM) that vouch for peers");
  app.add_option("--tls-verify", tls.verify,
                 "all: both sides' certificates, and the host of a node that we dial; chain: not "
                 "the host; dialled: not who dials us; nothing")
      ->check(CLI::IsMember({"all", "chain", "dialled", "nothing"}))
      ->capture_default_str();
  app.add_option("--tls-ciphers", tls.ciphers,
                 "Ciphers, as OpenSSL names them, with colons between (default: OpenSSL's)");
  app.add_option("--tls-min-version", tls.minimum_version, "1.2 or 1.3")
      ->check(CLI::IsMember({"1.2", "1.3"}))
      ->capture_default_str();
}

std::optional<TlsConfig> read_tls(const TlsConfig& given) {
  const bool asked = !given.key.empty() || !given.authorities.empty() || !given.ciphers.empty();
  if (given.certificate.empty()) {
    if (asked)
      throw StartupError(ExitCode::usage, "TLS: expected --tls-cert with the other options");
    return std::nullopt;
  }
  if (given.authorities.empty() && given.verify != "nothing")
    throw StartupError(ExitCode::usage,
                       "TLS: expected --tls-ca to verify peers with (or --tls-verify nothing)");
  return given;
}

std::string is_ip_address(const std::string& text) {
  in6_addr ignored{};
  const bool address = ::inet_pton(AF_INET, text.c_str(), &ignored) == 1 ||
                       ::inet_pton(AF_INET6, text.c_str(), &ignored) == 1;
  return address ? "" : "expected an IP address, got " + text;
}

}  // namespace ml_worker
