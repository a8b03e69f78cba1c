#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "ml_worker/config.h"
#include "ml_worker/startup_error.h"

using namespace ml_worker;
namespace fs = std::filesystem;

namespace {

ParsedCommandLine parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "ml_worker");
  return parse_command_line(static_cast<int>(arguments.size()), arguments.data());
}

/// What the refusal says; fails the test if there is none.
std::string refusal(std::vector<const char*> arguments) {
  try {
    parse(std::move(arguments));
  } catch (const StartupError& error) {
    CHECK(error.code() == ExitCode::usage);
    return error.what();
  }
  FAIL("accepted");
  return {};
}

class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& content, const char* name = "ml_worker_config_test") {
    path_ = fs::temp_directory_path() / (std::string(name) + std::to_string(getpid()));
    std::ofstream(path_) << content;
  }
  ~TemporaryFile() { fs::remove(path_); }
  const char* path() const { return path_.c_str(); }
  void mode(int bits) const { fs::permissions(path_, static_cast<fs::perms>(bits)); }

 private:
  fs::path path_;
};

std::string refusal_of_file(const std::string& json) {
  const TemporaryFile file(json);
  return refusal({"--name", "w@127.0.0.1", "--config", file.path()});
}

using Catch::Matchers::Contains;

}  // namespace

TEST_CASE("a name alone is enough, everything else has a default") {
  const auto parsed = parse({"--name", "worker1@127.0.0.1"});
  REQUIRE(parsed.run);
  CHECK(parsed.config.node_name == "worker1@127.0.0.1");
  CHECK_FALSE(parsed.config.short_names);
  CHECK(parsed.config.models == std::vector<std::string>{"all-MiniLM-L6-v2"});
  CHECK(parsed.config.max_texts == 100000);
  CHECK(parsed.config.max_text_bytes == (1U << 20));
  CHECK(parsed.config.max_call_bytes == (64U << 20));
}

TEST_CASE("repeatable options collect, in their order") {
  const auto config =
      parse({"--name", "w@127.0.0.1", "--model", "a", "--model", "b", "--join", "f@127.0.0.1",
             "--models-root", "/x", "--alias", "fast=b", "--port-range", "9100-9105"})
          .config;
  CHECK(config.models == std::vector<std::string>{"a", "b"});
  CHECK(config.join == std::vector<std::string>{"f@127.0.0.1"});
  CHECK(config.aliases.at("fast") == "b");
  CHECK(config.port_from == 9100);
  CHECK(config.port_to == 9105);
}

TEST_CASE("models that may be loaded later, their bound, and the self-check are options") {
  const auto config = parse({"--name", "w@127.0.0.1", "--allow-model", "large", "--allow-model",
                             "other", "--models-max-bytes", "1000", "--state-dir", "/var/lib/w",
                             "--self-check-interval", "0"})
                          .config;
  CHECK(config.allowed_models == std::vector<std::string>{"large", "other"});
  CHECK(config.models_max_bytes == 1000);
  CHECK(config.state_folder == "/var/lib/w");
  CHECK(config.self_check_interval.count() == 0);
  const auto plain = parse({"--name", "w@127.0.0.1"}).config;
  CHECK(plain.allowed_models.empty());
  CHECK(plain.models_max_bytes == 0);
  CHECK(plain.self_check_interval.count() == 30);
}

TEST_CASE("what is wrong on the command line is named") {
  CHECK_THAT(refusal({}), Contains("--name"));
  CHECK_THAT(refusal({"--name", "a@b.c", "--sname", "a"}), Contains("--sname"));
  CHECK_THAT(refusal({"--name", "a@b.c", "--frobnicate"}), Contains("--frobnicate"));
  CHECK_THAT(refusal({"--name", "a@b.c", "--dtype", "float8"}), Contains("--dtype"));
  CHECK_THAT(refusal({"--name", "a@b.c", "--max-texts", "many"}), Contains("--max-texts"));
  CHECK_THAT(refusal({"--name", "a@b.c", "--port-range", "9-1"}), Contains("--port-range"));
  CHECK_THAT(refusal({"--name", "a@b.c", "--port-range", "70000"}), Contains("--port-range"));
  CHECK_THAT(refusal({"--name", "a@b.c", "--alias", "x"}), Contains("--alias"));
  CHECK_THAT(refusal({"--name", "a@b.c", "--join", "front"}), Contains("--join"));
}

TEST_CASE("what bounds a connection is an option each") {
  const auto defaults = parse({"--name", "a@b.c"}).config;
  CHECK(defaults.peer_timeout == std::chrono::seconds(60));
  CHECK(defaults.handshake_timeout == std::chrono::seconds(7));
  CHECK(defaults.send_timeout == std::chrono::seconds(30));
  const auto config = parse({"--name",
                             "a@b.c",
                             "--tick-interval",
                             "1",
                             "--peer-timeout",
                             "4",
                             "--handshake-timeout",
                             "2",
                             "--send-timeout",
                             "3",
                             "--max-connections",
                             "5",
                             "--max-handshakes",
                             "10",
                             "--handshake-rate",
                             "11",
                             "--handshake-rate-total",
                             "12",
                             "--max-calls",
                             "6",
                             "--max-message-bytes",
                             "70000",
                             "--max-reassembly-bytes",
                             "80000",
                             "--max-reassembly-messages",
                             "13",
                             "--max-pending-calls",
                             "14",
                             "--max-pending-bytes",
                             "15000",
                             "--max-unsent-bytes",
                             "90000"})
                          .config;
  CHECK(config.tick_interval == std::chrono::seconds(1));
  CHECK(config.peer_timeout == std::chrono::seconds(4));
  CHECK(config.handshake_timeout == std::chrono::seconds(2));
  CHECK(config.send_timeout == std::chrono::seconds(3));
  CHECK(config.max_connections == 5);
  CHECK(config.max_handshakes == 10);
  CHECK(config.handshake_rate == 11);
  CHECK(config.handshake_rate_total == 12);
  CHECK(config.max_calls == 6);
  CHECK(config.max_message_bytes == 70000);
  CHECK(config.max_reassembly_bytes == 80000);
  CHECK(config.max_reassembly_messages == 13);
  CHECK(config.max_pending_calls == 14);
  CHECK(config.max_pending_bytes == 15000);
  CHECK(config.max_unsent_bytes == 90000);
  CHECK_THAT(refusal({"--name", "a@b.c", "--peer-timeout", "0"}), Contains("--peer-timeout"));
  CHECK_THAT(refusal({"--name", "a@b.c", "--max-calls", "0"}), Contains("--max-calls"));
}

TEST_CASE("a configuration file takes the same keys, and the command line wins") {
  const TemporaryFile file(
      R"({"name": "w@127.0.0.1", "model": ["a", "b"], "max-texts": 5, "stop-with-stdin": true,
          "log-format": "json", "cache-bytes": 0, "no-start-epmd": false})");
  const auto config = parse({"--config", file.path(), "--max-texts", "7"}).config;
  CHECK(config.node_name == "w@127.0.0.1");
  CHECK(config.models == std::vector<std::string>{"a", "b"});
  CHECK(config.max_texts == 7);
  CHECK(config.stop_with_stdin);
  CHECK(config.start_epmd);
  CHECK(config.log_format == log::Format::json);
  CHECK(config.cache_bytes == 0);
}

TEST_CASE("an unknown key or a wrong type in the file is named") {
  CHECK_THAT(refusal_of_file(R"({"colour": 1})"), Contains("colour"));
  CHECK_THAT(refusal_of_file(R"({"max-texts": "5"})"), Contains("max-texts"));
  CHECK_THAT(refusal_of_file(R"({"max-texts": 1.5})"), Contains("max-texts"));
  CHECK_THAT(refusal_of_file(R"({"max-texts": -1})"), Contains("max-texts"));
  CHECK_THAT(refusal_of_file(R"({"cookie-file": 5})"), Contains("cookie-file"));
  CHECK_THAT(refusal_of_file(R"({"model": "a"})"), Contains("model"));
  CHECK_THAT(refusal_of_file(R"({"model": [1]})"), Contains("model"));
  CHECK_THAT(refusal_of_file(R"({"check": "yes"})"), Contains("check"));
  CHECK_THAT(refusal_of_file(R"({"config": "x"})"), Contains("config"));
  CHECK_THAT(refusal_of_file("{"), Contains("JSON"));
  CHECK_THAT(refusal_of_file("[]"), Contains("object"));
}

TEST_CASE("--help and --version print and do not run") {
  const auto help = parse({"--help"});
  CHECK_FALSE(help.run);
  CHECK_THAT(help.text, Contains("--cookie-file") && Contains("--models-root"));
  CHECK_THAT(parse({"--version"}).text, Contains("0.1.0"));
}

TEST_CASE("a short name gets the host's short name") {
  const auto config = parse({"--sname", "w"}).config;
  CHECK(config.short_names);
  CHECK(config.node_name.substr(0, 2) == "w@");
  CHECK(config.node_name.find('.') == std::string::npos);
}

TEST_CASE("TLS is on with a certificate, and needs something to verify with") {
  CHECK_FALSE(parse({"--name", "w@127.0.0.1"}).config.tls);
  const auto config =
      parse({"--name", "w@127.0.0.1", "--tls-cert", "c", "--tls-ca", "a", "--tls-verify", "chain"})
          .config;
  REQUIRE(config.tls);
  CHECK(config.tls->certificate == "c");
  CHECK(config.tls->authorities == "a");
  CHECK(config.tls->verify == "chain");
  CHECK(config.tls->minimum_version == "1.2");
  CHECK(parse({"--name", "w@127.0.0.1", "--tls-cert", "c", "--tls-verify", "nothing"}).config.tls);
  CHECK_THAT(refusal({"--name", "w@127.0.0.1", "--tls-cert", "c"}), Catch::Contains("--tls-ca"));
  CHECK_THAT(refusal({"--name", "w@127.0.0.1", "--tls-key", "k"}), Catch::Contains("--tls-cert"));
}

TEST_CASE("addresses to listen on are of IPv4 or IPv6") {
  for (const char* address : {"127.0.0.1", "::", "::1", "fe80::1"})
    CHECK(parse({"--name", "w@127.0.0.1", "--listen", address}).config.listen_address == address);
  for (const char* address : {"localhost", "1.2.3", ":", ""})
    CHECK_THAT(refusal({"--name", "w@127.0.0.1", "--listen", address}),
               Catch::Contains("--listen"));
}

TEST_CASE("a worker that epmd does not know has one known port") {
  const auto config =
      parse({"--name", "w@127.0.0.1", "--no-epmd", "--port-range", "4400", "--join-port", "4401"})
          .config;
  CHECK_FALSE(config.use_epmd);
  CHECK(config.join_port == 4401);
  for (const char* range : {"4400-4401", ""})
    CHECK_THAT(refusal({"--name", "w@127.0.0.1", "--no-epmd", "--port-range", range}),
               Catch::Contains("--no-epmd"));
}
