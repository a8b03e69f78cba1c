// The program's options, from the command line and from a JSON file with the same keys.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ml_worker/encoder.h"
#include "ml_worker/log.h"

namespace ml_worker {

struct TlsConfig {
  std::filesystem::path certificate;
  std::filesystem::path key;  ///< empty: in the certificate's file
  std::filesystem::path authorities;
  std::string verify = "all";           ///< all, chain, dialled or nothing
  std::string minimum_version = "1.2";  ///< 1.2 or 1.3
  std::string ciphers;
};

struct Config {
  std::string node_name;  ///< full, NAME@HOST
  bool short_names = false;
  std::filesystem::path cookie_file;  ///< empty: ML_WORKER_COOKIE, else ~/.erlang.cookie
  std::string listen_address = "0.0.0.0";
  std::uint16_t port_from = 0;
  std::uint16_t port_to = 0;
  std::vector<std::string> join;
  std::uint16_t join_port = 0;  ///< 0: found by epmd
  std::optional<TlsConfig> tls;
  std::vector<std::string> models;  ///< the first is the default; none: all-MiniLM-L6-v2
  std::vector<std::filesystem::path> model_roots;
  std::map<std::string, std::string> aliases;
  std::vector<std::string> allowed_models;  ///< names or aliases that may be loaded on demand
  std::size_t models_max_bytes = 0;         ///< 0: no bound
  std::filesystem::path state_folder;       ///< empty: the user's
  std::chrono::seconds self_check_interval{30};
  ModelOptions model;
  std::size_t cache_bytes = std::size_t{256} << 20;
  std::size_t batch_tokens = 0;  ///< 0: what suits the device
  std::size_t queue_tokens = 4000000;
  int tokenizer_threads = 0;  ///< 0: half the cores, at least one
  std::size_t max_text_bytes = std::size_t{1} << 20;
  std::size_t max_texts = 100000;
  std::size_t max_call_bytes = std::size_t{64} << 20;
  std::size_t max_pending_calls = 20000;
  std::size_t max_pending_bytes = std::size_t{512} << 20;
  std::chrono::seconds tick_interval{15};
  std::chrono::seconds peer_timeout{60};
  std::chrono::seconds handshake_timeout{7};
  std::chrono::seconds send_timeout{30};
  std::size_t max_connections = 1024;
  std::size_t max_handshakes = 1024;
  std::size_t handshake_rate = 100;
  std::size_t handshake_rate_total = 400;
  std::size_t max_calls = 100000;
  std::size_t max_message_bytes = std::size_t{128} << 20;
  std::size_t max_reassembly_bytes = std::size_t{256} << 20;
  std::size_t max_reassembly_messages = 4096;
  std::size_t max_unsent_bytes = std::size_t{512} << 20;
  bool start_epmd = true;
  bool use_epmd = true;
  bool stop_with_stdin = false;  ///< drain when standard input closes (a supervising port)
  bool check = false;            ///< load, embed, compare, report, exit
  log::Format log_format = log::Format::text;
  log::Level log_level = log::Level::info;
};

/// What the command line asked for: run with `config`, or print `text` and exit 0
/// (--help, --version).
struct ParsedCommandLine {
  bool run = true;
  Config config;
  std::string text;
};

/// Throws StartupError(usage) that names the option and what was expected and given.
ParsedCommandLine parse_command_line(int argc, const char* const* argv);

/// The cookie of `config`: the file (mode 0400 or 0600, ours, trailing newline cut), the variable
/// ML_WORKER_COOKIE (removed from the environment), or ~/.erlang.cookie.
/// Throws StartupError(cookie).
std::string load_cookie(const Config& config);

}  // namespace ml_worker
