// What a worker of a cluster with `-proto_dist inet_tls` is told.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>

#include "ml_worker/config.h"

namespace ml_worker {

void add_tls_options(CLI::App& app, TlsConfig& tls);

/// None if no option asks for TLS. Throws StartupError(usage) if one is missing.
std::optional<TlsConfig> read_tls(const TlsConfig& given);

/// For CLI11: "" or what is wrong.
std::string is_ip_address(const std::string& text);

}  // namespace ml_worker
