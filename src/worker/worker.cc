#include "ml_worker/worker.h"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <thread>

#include "ml_worker/distribution.h"
#include "ml_worker/log.h"
#include "ml_worker/service.h"
#include "worker/drain.h"
#include "worker/model_set.h"
#include "worker/rpc_endpoint.h"

namespace ml_worker {
namespace {

int half_the_cores() {
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / 2);
}

ServiceOptions service_options_of(const Config& config, std::shared_ptr<ModelSet> models) {
  ServiceOptions options;
  options.limits = {config.max_text_bytes, config.max_texts, config.max_call_bytes};
  options.batching.batch_tokens = config.batch_tokens;
  options.batching.queue_tokens = config.queue_tokens;
  options.cache_bytes = config.cache_bytes;
  options.pending_calls = config.max_pending_calls;
  options.pending_bytes = config.max_pending_bytes;
  options.tokenizer_threads =
      config.tokenizer_threads > 0 ? config.tokenizer_threads : half_the_cores();
  options.aliases = model_aliases(config);
  options.allowed_models = config.allowed_models;
  options.models_max_bytes = config.models_max_bytes;
  options.source = std::move(models);
  return options;
}

distribution::TlsOptions tls_options_of(const TlsConfig& config) {
  using Tls = distribution::TlsOptions;
  static const std::map<std::string, Tls::Verify> verify = {{"all", Tls::Verify::all},
                                                            {"chain", Tls::Verify::chain},
                                                            {"dialled", Tls::Verify::dialled},
                                                            {"nothing", Tls::Verify::nothing}};
  return {config.certificate,
          config.key,
          config.authorities,
          verify.at(config.verify),
          config.minimum_version == "1.3" ? Tls::Minimum::tls13 : Tls::Minimum::tls12,
          config.ciphers};
}

distribution::NodeOptions node_options_of(const Config& config, std::string cookie) {
  distribution::NodeOptions options;
  options.name = config.node_name;
  options.cookie = std::move(cookie);
  options.listen_address = config.listen_address;
  options.port_from = config.port_from;
  options.port_to = config.port_to;
  options.join = config.join;
  options.join_port = config.join_port;
  if (config.tls) options.tls = tls_options_of(*config.tls);
  options.tick_interval = config.tick_interval;
  options.peer_timeout = config.peer_timeout;
  options.handshake_timeout = config.handshake_timeout;
  options.send_timeout = config.send_timeout;
  options.max_connections = config.max_connections;
  options.max_handshakes = config.max_handshakes;
  options.handshake_rate = config.handshake_rate;
  options.handshake_rate_total = config.handshake_rate_total;
  options.max_calls = config.max_calls;
  options.max_message_bytes = config.max_message_bytes;
  options.max_reassembly_bytes = config.max_reassembly_bytes;
  options.max_reassembly_messages = config.max_reassembly_messages;
  options.max_unsent_bytes = config.max_unsent_bytes;
  options.start_epmd = config.start_epmd;
  options.use_epmd = config.use_epmd;
  return options;
}

void check_name(const Config& config) {
  const auto wrong = distribution::check_node_name(config.node_name, config.short_names);
  if (!wrong.empty()) throw StartupError(ExitCode::usage, wrong);
}

/// Waits for the end of standard input on a thread of its own, which the destructor wakes.
class StdinWatch {
 public:
  explicit StdinWatch(std::function<void()> at_end) : at_end_(std::move(at_end)) {
    if (pipe(wake_.data()) == 0) thread_ = std::thread([this] { run(); });
  }
  ~StdinWatch() {
    if (!thread_.joinable()) return;
    close(wake_[1]);
    thread_.join();
    close(wake_[0]);
  }
  StdinWatch(const StdinWatch&) = delete;
  StdinWatch& operator=(const StdinWatch&) = delete;

 private:
  void run() {
    std::array<pollfd, 2> watched{{{STDIN_FILENO, POLLIN, 0}, {wake_[0], POLLIN, 0}}};
    std::array<char, 256> ignored{};
    while (poll(watched.data(), watched.size(), -1) >= 0 || errno == EINTR) {
      if (watched[1].revents != 0) return;
      if (watched[0].revents == 0) continue;
      if (read(STDIN_FILENO, ignored.data(), ignored.size()) <= 0) break;
    }
    at_end_();
  }

  std::function<void()> at_end_;
  std::array<int, 2> wake_{{-1, -1}};
  std::thread thread_;
};

void say_ready(const Config& config, const distribution::Node& node) {
  log::info("ready", {{"node", config.node_name},
                      {"port", std::to_string(node.port())},
                      {"protocol", config.tls ? "TLS" : "TCP"},
                      {"reached_by", config.short_names ? "nodes started with -sname"
                                                        : "nodes started with -name"}});
}

/// Checks the device while it lives.
class Checks {
 public:
  Checks(Service& service, Drain& drain, std::chrono::seconds interval) : service_(service) {
    SelfCheckOptions options;
    options.interval = interval;
    options.on_unhealthy = [&drain](const std::string& what) { drain.retire(what); };
    service_.start_checking(std::move(options));
  }
  ~Checks() { service_.stop_checking(); }
  Checks(const Checks&) = delete;
  Checks& operator=(const Checks&) = delete;

 private:
  Service& service_;
};

/// What cannot be stopped in an orderly way is left to the operating system: a device that is no
/// good any more may neither answer nor give its memory back.
ExitCode end(const Drain& drain) {
  log::info("stopped");
  if (drain.retired()) std::_Exit(static_cast<int>(ExitCode::self_check));
  return ExitCode::ok;
}

/// Until the node takes the signals over, there is nothing to drain.
void end_at_once_on_signals() {
  const auto end = [](int) { std::_Exit(static_cast<int>(ExitCode::ok)); };
  std::signal(SIGTERM, end);
  std::signal(SIGINT, end);
}

}  // namespace

ExitCode run_worker(const Config& config) {
  std::signal(SIGPIPE, SIG_IGN);
  end_at_once_on_signals();
  log::configure(config.log_format, config.log_level);
  check_name(config);
  auto options = node_options_of(config, load_cookie(config));
  const auto models = std::make_shared<ModelSet>(config);
  Service service(service_options_of(config, models), models->load_named());
  RpcEndpoint endpoint(service);
  distribution::Node node(std::move(options), endpoint);
  Drain drain(node, service);
  node.on_signal({SIGTERM, SIGINT}, [&drain](int) { drain.begin("signal"); });
  // Without TLS a hang-up ends the program, as it does any other.
  if (config.tls) node.on_signal({SIGHUP}, [&node](int) { node.reload_tls(); });
  if (node.start()) say_ready(config, node);
  std::optional<StdinWatch> stdin_watch;
  if (config.stop_with_stdin)
    stdin_watch.emplace([&drain] { drain.begin("standard input closed"); });
  const Checks checks(service, drain, config.self_check_interval);
  node.run();
  return end(drain);
}

}  // namespace ml_worker
