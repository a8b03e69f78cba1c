#include <CLI/CLI.hpp>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <utility>

#include "config/json_config.h"
#include "config/node_name.h"
#include "config/tls_options.h"
#include "ml_worker/config.h"
#include "ml_worker/startup_error.h"

namespace ml_worker {
namespace {

constexpr const char* kVersion = "ml_worker " ML_WORKER_VERSION;

constexpr const char* kDescription =
    "Joins an Erlang cluster as a hidden node and answers rpc:call(Node, ml_worker, encode, …)\n"
    "with text embeddings computed by libtorch.";

constexpr const char* kFooter =
    "\nThe cookie comes from --cookie-file, else from the variable ML_WORKER_COOKIE, else from\n"
    "~/.erlang.cookie; never from the command line. SIGTERM and SIGINT drain: no new work, queued\n"
    "work is answered, the name leaves epmd, exit status 0.\n"
    "\nExit status: 0 ended as asked, 1 internal error, 64 wrong option or name, 65 no or broken\n"
    "model, 69 no epmd, 70 vectors that are not what they were (at start, by --check, or while\n"
    "serving: then after draining), 71 cannot listen, 73 name taken, 77 cookie missing or\n"
    "readable by others, 78 TLS files missing, broken or readable by others.";

/// What the options write to before it becomes a Config: strings that need a second look.
struct RawOptions {
  std::string long_name;
  std::string short_name;
  std::string port_range;
  std::string dtype = "auto";
  std::string log_format = "text";
  std::string log_level = "info";
  std::vector<std::string> aliases;
  std::vector<std::string> model_roots;
  std::size_t tick_seconds = 15;
  std::size_t peer_timeout_seconds = 60;
  std::size_t handshake_timeout_seconds = 7;
  std::size_t send_timeout_seconds = 30;
  std::size_t self_check_seconds = 30;
  bool no_start_epmd = false;
  bool no_epmd = false;
  TlsConfig tls;
};

[[noreturn]] void refuse(const std::string& message) {
  throw StartupError(ExitCode::usage, message);
}

void add_node_options(CLI::App& app, Config& config, RawOptions& raw) {
  auto* name =
      app.add_option("--name", raw.long_name,
                     "Node name NAME@HOST; HOST has a dot or is an address, and is reached "
                     "by fronts started with -name");
  app.add_option("--sname", raw.short_name,
                 "Node name NAME or NAME@HOST, HOST without a dot, reached by fronts started with "
                 "-sname")
      ->excludes(name);
  app.add_option("--cookie-file", config.cookie_file,
                 "File with the cookie, owned by us, mode 0400 or 0600");
  app.add_option("--listen", config.listen_address,
                 "IPv4 or IPv6 address that peers connect to; :: is both")
      ->check(is_ip_address)
      ->capture_default_str();
  app.add_option("--port-range", raw.port_range, "Ports to listen on: A-B or A (default: any)");
  app.add_option("--join", config.join,
                 "Node to connect to, and again whenever the connection is lost; repeatable")
      ->allow_extra_args(false);
  app.add_option("--join-port", config.join_port,
                 "Port of the nodes to join, which are then not looked up in epmd")
      ->check(CLI::Range(1, 65535));
  app.add_flag("--no-start-epmd", raw.no_start_epmd,
               "Do not start epmd when none runs (erl's -start_epmd false)");
  app.add_flag("--no-epmd", raw.no_epmd,
               "Do not register with epmd: peers know our port (erl's -erl_epmd_port)");
  app.add_flag("--stop-with-stdin", config.stop_with_stdin,
               "Drain and exit when standard input closes, for a supervisor that holds it open");
}

void add_seconds(CLI::App& app, const char* name, std::size_t& seconds, const char* description) {
  app.add_option(name, seconds, description)->check(CLI::Range(1, 3600))->capture_default_str();
}

void add_limit(CLI::App& app, const char* name, std::size_t& limit, const char* description) {
  app.add_option(name, limit, description)
      ->check(CLI::Range(std::size_t{1}, std::size_t{1} << 40))
      ->capture_default_str();
}

void add_connection_options(CLI::App& app, Config& config, RawOptions& raw) {
  add_seconds(app, "--tick-interval", raw.tick_seconds,
              "Seconds between ticks: a quarter of the cluster's net_ticktime, or less");
  add_seconds(app, "--peer-timeout", raw.peer_timeout_seconds,
              "Seconds of silence after which a peer is given up whose ticks have not told its "
              "net_ticktime; where they have, that and a quarter counts");
  add_seconds(app, "--handshake-timeout", raw.handshake_timeout_seconds,
              "Seconds that a whole handshake may take");
  add_seconds(
      app, "--send-timeout", raw.send_timeout_seconds,
      "Seconds after which a peer that takes no byte of what waits is cut; so is one that has "
      "not taken all of it in that time and a second for each 64 KiB");
  add_limit(app, "--max-connections", config.max_connections, "Most connected peers");
  add_limit(app, "--max-handshakes", config.max_handshakes,
            "Most handshakes under way; one address may have half of them");
  add_limit(app, "--handshake-rate", config.handshake_rate,
            "Handshakes per second of one address that do not prove the cookie, after a pause ten "
            "times as many");
  add_limit(app, "--handshake-rate-total", config.handshake_rate_total,
            "The same of all addresses together");
  add_limit(app, "--max-calls", config.max_calls, "Most calls under way, of all peers");
  add_limit(app, "--max-message-bytes", config.max_message_bytes, "Longest message of a peer");
  add_limit(app, "--max-reassembly-bytes", config.max_reassembly_bytes,
            "Most bytes of messages that a peer has sent in part, per connection");
  add_limit(app, "--max-reassembly-messages", config.max_reassembly_messages,
            "Most messages that a peer has sent in part, per connection");
  add_limit(app, "--max-unsent-bytes", config.max_unsent_bytes,
            "Most bytes that may wait to be sent, per connection");
}

void add_model_options(CLI::App& app, Config& config, RawOptions& raw) {
  app.add_option("--model", config.models,
                 "Model to load at start; repeatable, the first is the default "
                 "(default: all-MiniLM-L6-v2)")
      ->allow_extra_args(false);
  app.add_option(
         "--models-root", raw.model_roots,
         "Folder of model folders, or a Hugging Face hub cache; repeatable (default: models "
         "beside the program's folder, ./models, the hub cache)")
      ->allow_extra_args(false);
  app.add_option("--alias", raw.aliases, "ALIAS=NAME: a further name of a model; repeatable")
      ->allow_extra_args(false);
  app.add_option("--device", config.model.device,
                 "auto (the GPUs where there are any, else the CPU), cpu, cuda (all GPUs) or "
                 "cuda:I,… (those)")
      ->capture_default_str();
  app.add_option("--device-memory", config.model.device_memory,
                 "Bound on what is used of each GPU's memory: bytes, or up to 1 a fraction "
                 "(0: none)")
      ->check(CLI::Range(0.0, 1e15))
      ->capture_default_str();
  app.add_option("--device-replicas", config.model.device_replicas,
                 "Forward passes at the same time on each GPU")
      ->check(CLI::Range(std::size_t{1}, std::size_t{16}))
      ->capture_default_str();
  app.add_option("--dtype", raw.dtype,
                 "auto (float32 on the CPU, float16 on a GPU), float32, bfloat16, float16 or int8 "
                 "(on the CPU)")
      ->check(CLI::IsMember({"auto", "float32", "bfloat16", "float16", "int8"}))
      ->capture_default_str();
  app.add_option("--compute-threads", config.model.compute_threads,
                 "Threads that the forward passes on the CPU share (0: all cores)")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  app.add_option(
         "--forward-passes", config.model.forward_passes,
         "Forward passes at the same time on the CPU; one that is alone has all threads (0: "
         "one a thread, up to 16)")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  app.add_option("--allow-model", config.allowed_models,
                 "Model that a call or load_model may load later; repeatable")
      ->allow_extra_args(false);
  app.add_option("--models-max-bytes", config.models_max_bytes,
                 "Bound on the weights of all loaded models (0: none)")
      ->capture_default_str();
  app.add_option("--state-dir", config.state_folder,
                 "Folder for the golden vectors of verified models (default: $STATE_DIRECTORY, "
                 "$XDG_STATE_HOME/ml_worker or ~/.local/state/ml_worker)");
  app.add_option("--self-check-interval", raw.self_check_seconds,
                 "Seconds between checks of the device against the golden vectors (0: none); a "
                 "worker that fails two in a row drains and exits with status 70")
      ->check(CLI::Range(0, 86400))
      ->capture_default_str();
  app.add_flag("--check", config.check,
               "Load the models, embed, compare, print a report and exit: 0 if all is well");
}

void add_limit_options(CLI::App& app, Config& config) {
  app.add_option("--cache-bytes", config.cache_bytes, "Bound of the vector cache (0: no cache)")
      ->capture_default_str();
  app.add_option("--batch-tokens", config.batch_tokens,
                 "Token budget of one forward pass (0: 2048 on the CPU, 16384 on a GPU)")
      ->check(CLI::Range(std::size_t{0}, std::size_t{1} << 40))
      ->capture_default_str();
  add_limit(app, "--queue-tokens", config.queue_tokens,
            "Tokens that may wait; more work is refused as overloaded");
  app.add_option("--tokenizer-threads", config.tokenizer_threads,
                 "Threads that decode and tokenize (0: half the cores)")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  add_limit(app, "--max-text-bytes", config.max_text_bytes, "Longest text of a call");
  add_limit(app, "--max-texts", config.max_texts, "Most texts of a call");
  add_limit(app, "--max-call-bytes", config.max_call_bytes, "Most bytes of a call's texts");
  add_limit(app, "--max-pending-calls", config.max_pending_calls,
            "Calls that may be admitted and unanswered; more are refused as overloaded");
  add_limit(app, "--max-pending-bytes", config.max_pending_bytes,
            "Bytes of those calls' messages and gathered token vectors; more are refused as "
            "overloaded");
}

void add_log_options(CLI::App& app, RawOptions& raw) {
  app.add_option("--log-format", raw.log_format, "text or json")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  app.add_option("--log-level", raw.log_level, "debug, info, warning or error")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}))
      ->capture_default_str();
}

std::uint16_t parse_port(const std::string& text) {
  unsigned long port = 0;
  const bool digits = !text.empty() && text.size() <= 5 &&
                      text.find_first_not_of("0123456789") == std::string::npos;
  if (digits) port = std::stoul(text);
  if (port < 1 || port > 65535)
    refuse("--port-range: expected A-B or A with ports from 1 to 65535, got \"" + text + "\"");
  return static_cast<std::uint16_t>(port);
}

/// Without epmd nobody could find a port that we were given by chance.
void check_port_is_known(const Config& config) {
  if (!config.use_epmd && (config.port_from == 0 || config.port_from != config.port_to))
    refuse("--no-epmd: expected --port-range with one port, the one that peers know");
}

void read_port_range(const std::string& text, Config& config) {
  if (text.empty()) return;
  const auto dash = text.find('-');
  config.port_from = parse_port(text.substr(0, dash));
  config.port_to = dash == std::string::npos ? config.port_from : parse_port(text.substr(dash + 1));
  if (config.port_to < config.port_from)
    refuse("--port-range: expected A-B with A not above B, got \"" + text + "\"");
}

/// What stands before and after the first `separator`: both something, or nothing is given.
std::optional<std::pair<std::string, std::string>> halves(const std::string& text, char separator) {
  const auto at = text.find(separator);
  if (at == 0 || at == std::string::npos || at + 1 == text.size()) return std::nullopt;
  return std::pair(text.substr(0, at), text.substr(at + 1));
}

void read_aliases(const std::vector<std::string>& pairs, Config& config) {
  for (const auto& pair : pairs) {
    const auto alias = halves(pair, '=');
    if (!alias) refuse("--alias: expected ALIAS=NAME, got \"" + pair + "\"");
    config.aliases[alias->first] = alias->second;
  }
}

void read_node_name(const RawOptions& raw, Config& config) {
  config.short_names = !raw.short_name.empty();
  const std::string& given = config.short_names ? raw.short_name : raw.long_name;
  if (given.empty()) {
    if (config.check) return;
    refuse("no node name: expected --name NAME@HOST (or --sname NAME)");
  }
  config.node_name = complete_node_name(given, config.short_names);
}

Dtype read_dtype(const std::string& name) {
  if (name == "float32") return Dtype::float32;
  if (name == "bfloat16") return Dtype::bfloat16;
  if (name == "float16") return Dtype::float16;
  return name == "int8" ? Dtype::int8 : Dtype::automatic;
}

log::Level read_level(const std::string& name) {
  if (name == "debug") return log::Level::debug;
  if (name == "warning") return log::Level::warning;
  return name == "error" ? log::Level::error : log::Level::info;
}

void check_joined(const Config& config) {
  for (const auto& node : config.join) {
    if (!halves(node, '@')) refuse("--join: expected NAME@HOST, got \"" + node + "\"");
  }
}

void read_raw(const RawOptions& raw, Config& config) {
  read_node_name(raw, config);
  check_joined(config);
  read_port_range(raw.port_range, config);
  read_aliases(raw.aliases, config);
  config.model_roots.assign(raw.model_roots.begin(), raw.model_roots.end());
  if (config.models.empty()) config.models.emplace_back("all-MiniLM-L6-v2");
  config.model.dtype = read_dtype(raw.dtype);
  config.tick_interval = std::chrono::seconds(raw.tick_seconds);
  config.peer_timeout = std::chrono::seconds(raw.peer_timeout_seconds);
  config.handshake_timeout = std::chrono::seconds(raw.handshake_timeout_seconds);
  config.send_timeout = std::chrono::seconds(raw.send_timeout_seconds);
  config.self_check_interval = std::chrono::seconds(raw.self_check_seconds);
  config.start_epmd = !raw.no_start_epmd;
  config.use_epmd = !raw.no_epmd;
  check_port_is_known(config);
  config.tls = read_tls(raw.tls);
  config.log_format = raw.log_format == "json" ? log::Format::json : log::Format::text;
  config.log_level = read_level(raw.log_level);
}

}  // namespace

ParsedCommandLine parse_command_line(int argc, const char* const* argv) {
  ParsedCommandLine result;
  RawOptions raw;
  CLI::App app(kDescription, "ml_worker");
  app.footer(kFooter);
  app.set_version_flag("--version", kVersion);
  app.set_config("--config", "", "JSON file with the same keys as the options, without dashes");
  app.config_formatter(std::make_shared<JsonConfig>(app));
  app.allow_config_extras(false);
  add_node_options(app, result.config, raw);
  add_connection_options(app, result.config, raw);
  add_tls_options(app, raw.tls);
  add_model_options(app, result.config, raw);
  add_limit_options(app, result.config);
  add_log_options(app, raw);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) {
    std::ostringstream out;
    app.exit(asked, out, out);
    return {false, {}, out.str()};
  } catch (const CLI::ParseError& wrong) {
    refuse(std::string(wrong.what()) + " (ml_worker --help lists the options)");
  }
  read_raw(raw, result.config);
  return result;
}

}  // namespace ml_worker
