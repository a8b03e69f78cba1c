#include "distribution/tls_context.h"

#include <sys/stat.h>

#include <catch2/catch.hpp>

#include "distribution/certificates.h"
#include "ml_worker/startup_error.h"

namespace ml_worker::distribution {
namespace {

using Catch::Contains;
using test::Pki;

std::string refusal(const TlsOptions& options) {
  try {
    make_tls_contexts(options);
  } catch (const StartupError& error) {
    CHECK(error.code() == ExitCode::tls);
    return error.what();
  }
  return "taken";
}

TEST_CASE("certificate, key and authorities make two contexts that verify") {
  const Pki pki;
  const TlsContexts made = make_tls_contexts(pki.options());
  CHECK(SSL_CTX_get_verify_mode(made.server->native_handle()) ==
        (SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT));
  CHECK(SSL_CTX_get_verify_mode(made.client->native_handle()) == SSL_VERIFY_PEER);
  CHECK(SSL_CTX_get_session_cache_mode(made.server->native_handle()) == SSL_SESS_CACHE_OFF);
}

TEST_CASE("a key that others can read or change is refused, whatever they can do with it") {
  const Pki pki;
  const std::string key = pki.options().key.string();
  for (const mode_t mode : {0640, 0604, 0620, 0601, 0660, 0777}) {
    ::chmod(key.c_str(), mode);
    CHECK_THAT(refusal(pki.options()), Contains(key) && Contains("0400 or 0600"));
  }
  for (const mode_t mode : {0600, 0400}) {
    ::chmod(key.c_str(), mode);
    CHECK(refusal(pki.options()) == "taken");
  }
}

TEST_CASE("a key inside the certificate's file makes that file a secret") {
  const Pki pki;
  TlsOptions options = pki.options();
  std::ofstream joined(options.certificate, std::ios::app);
  joined << std::ifstream(options.key).rdbuf() << std::flush;
  options.key.clear();
  ::chmod(options.certificate.c_str(), 0644);
  CHECK_THAT(refusal(options), Contains("node.pem") && Contains("0400 or 0600"));
  ::chmod(options.certificate.c_str(), 0600);
  CHECK(refusal(options) == "taken");
}

TEST_CASE("files that are not there or not what they should be are named") {
  const Pki pki;
  pki.ca.issue("other", "IP:127.0.0.1");
  test::write_text(pki.folder / "nonsense", "no PEM");
  ::chmod((pki.folder / "nonsense").c_str(), 0600);
  const auto with = [&](std::filesystem::path TlsOptions::*member, const std::string& file) {
    TlsOptions options = pki.options();
    options.*member = pki.folder / file;
    return refusal(options);
  };
  for (const std::string file : {"absent", "nonsense"}) {
    CHECK_THAT(with(&TlsOptions::certificate, file), Contains("certificate ") && Contains(file));
    CHECK_THAT(with(&TlsOptions::key, file), Contains("key ") && Contains(file));
    CHECK_THAT(with(&TlsOptions::authorities, file), Contains("CA ") && Contains(file));
  }
  CHECK_THAT(with(&TlsOptions::key, "other.key"), Contains("other.key") && Contains("node.pem"));
  CHECK_THAT(with(&TlsOptions::key, ""), Contains("regular file"));
}

TEST_CASE("the minimum version and the ciphers are OpenSSL's to enforce") {
  const Pki pki;
  TlsOptions options = pki.options();
  CHECK(SSL_CTX_get_min_proto_version(make_tls_contexts(options).server->native_handle()) ==
        TLS1_2_VERSION);
  options.minimum = TlsOptions::Minimum::tls13;
  options.ciphers = "ECDHE-ECDSA-AES256-GCM-SHA384:TLS_AES_128_GCM_SHA256";
  const TlsContexts strict = make_tls_contexts(options);
  CHECK(SSL_CTX_get_min_proto_version(strict.server->native_handle()) == TLS1_3_VERSION);
  CHECK(SSL_CTX_get_min_proto_version(strict.client->native_handle()) == TLS1_3_VERSION);
  options.ciphers = "NONE-SUCH";
  CHECK_THAT(refusal(options), Contains("NONE-SUCH"));
}

TEST_CASE("what is verified is what was asked for") {
  using Verify = TlsOptions::Verify;
  const Pki pki;
  TlsOptions options = pki.options();
  const auto modes = [&](Verify verify) {
    options.verify = verify;
    const TlsContexts made = make_tls_contexts(options);
    return std::pair(SSL_CTX_get_verify_mode(made.server->native_handle()) != SSL_VERIFY_NONE,
                     SSL_CTX_get_verify_mode(made.client->native_handle()) != SSL_VERIFY_NONE);
  };
  CHECK(modes(Verify::chain) == std::pair(true, true));
  CHECK(modes(Verify::dialled) == std::pair(false, true));
  options.authorities.clear();
  CHECK(modes(Verify::nothing) == std::pair(false, false));
}

}  // namespace
}  // namespace ml_worker::distribution
