// Certificate, key, CA and rules as OpenSSL wants them: one context per side, made of the options
// and their files.
#pragma once

#include <memory>

#include "distribution/asio.h"
#include "ml_worker/distribution.h"
// Behind asio.h, which says how Asio is used.
#include <asio/ssl.hpp>

namespace ml_worker::distribution {

/// Never changed: a connection that was made with it may use it for years.
struct TlsContexts {
  std::shared_ptr<asio::ssl::context> server;
  std::shared_ptr<asio::ssl::context> client;
};

/// Reads the files. Throws StartupError(tls) that names the file and what is wrong with it.
TlsContexts make_tls_contexts(const TlsOptions& options);

}  // namespace ml_worker::distribution
