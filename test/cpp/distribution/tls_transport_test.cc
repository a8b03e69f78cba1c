// Two transports of ours with a socket between them.
#include <catch2/catch.hpp>
#include <optional>

#include "distribution/certificates.h"
#include "distribution/tls_context.h"
#include "distribution/transport.h"
#include "distribution/wire.h"
#include "ml_worker/startup_error.h"

namespace ml_worker::distribution {
namespace {

using asio::ip::tcp;
using Catch::Contains;
using test::Authority;
using test::Pki;

/// Outlives all transports: a thread of theirs may be the last to let go of it.
asio::io_context& io() {
  static asio::io_context io;
  return io;
}

/// Until nothing is under way.
void run_all() {
  io().run();
  io().restart();
}

struct Sockets {
  tcp::socket dialled;
  tcp::socket accepted;
};

Sockets connected_sockets() {
  tcp::acceptor acceptor(io(), {asio::ip::make_address("127.0.0.1"), 0});
  tcp::socket dialled(io());
  dialled.connect(acceptor.local_endpoint());
  return {std::move(dialled), acceptor.accept()};
}

/// A node's two ends: "" where the transport opened, else why not.
struct Pair {
  Pair(const TransportFactory& dialling, const TransportFactory& accepting,
       const std::string& host = "127.0.0.1") {
    Sockets sockets = connected_sockets();
    client = dialling.dialled(std::move(sockets.dialled), host);
    server = accepting.accepted(std::move(sockets.accepted));
    client->async_open([this](const std::string& failure) { on_open(client_said, failure); });
    server->async_open([this](const std::string& failure) { on_open(server_said, failure); });
    run_all();
  }

  /// What a node does when one end fails: it closes, and the other sees the end.
  void on_open(std::optional<std::string>& said, const std::string& failure) {
    said = failure;
    if (failure.empty()) return;
    (&said == &client_said ? client : server)->close();
  }
  bool opened() const { return client_said == "" && server_said == ""; }

  std::unique_ptr<Transport> client;
  std::unique_ptr<Transport> server;
  std::optional<std::string> client_said;
  std::optional<std::string> server_said;
};

/// What arrives at the other end.
std::string sent(Pair& pair, const std::string& text) {
  std::string arrived(text.size(), ' ');
  std::size_t count = 0;
  pair.client->async_write_some({asio::buffer(text)}, [](std::error_code, std::size_t) {});
  pair.server->async_read_some(asio::buffer(arrived),
                               [&](std::error_code, std::size_t got) { count = got; });
  run_all();
  return arrived.substr(0, count);
}

TEST_CASE("two nodes with certificates of one authority talk, with lengths of four bytes") {
  const Pki pki;
  const auto transports = make_tls_transports(pki.options());
  Pair pair(*transports, *transports);
  REQUIRE(pair.opened());
  CHECK(sent(pair, "in the clear to us alone") == "in the clear to us alone");
  CHECK(pair.client->handshake_prefix_bytes() == 4);
  CHECK(pair.server->remote_address() == "127.0.0.1");
}

TEST_CASE("a certificate of another authority is refused by either side") {
  const Pki pki;
  const Authority stranger(pki.folder, "stranger_ca");
  stranger.issue("stranger", "IP:127.0.0.1");
  const auto ours = make_tls_transports(pki.options());
  const auto theirs = make_tls_transports(pki.options("stranger"));
  const Pair dialled_by_it(*theirs, *ours);
  CHECK_THAT(dialled_by_it.server_said.value_or(""), Contains("the peer's certificate"));
  const Pair dialled_by_us(*ours, *theirs);
  CHECK_THAT(dialled_by_us.client_said.value_or(""), Contains("the peer's certificate"));
}

TEST_CASE("the dialled node's certificate must be for its host, where that is checked") {
  const Pki pki;
  pki.ca.issue("elsewhere", "DNS:elsewhere.example.com");
  TlsOptions options = pki.options("elsewhere");
  const auto wrong = make_tls_transports(options);
  const auto right = make_tls_transports(pki.options());
  CHECK_THAT(Pair(*right, *wrong).client_said.value_or(""), Contains("ostname mismatch"));
  CHECK(Pair(*right, *wrong, "elsewhere.example.com").opened());
  // Who dials is not looked for under its address: it may come from anywhere.
  CHECK(Pair(*wrong, *right).opened());
  options = pki.options();
  options.verify = TlsOptions::Verify::chain;
  CHECK(Pair(*make_tls_transports(options), *wrong).opened());
}

TEST_CASE("a node that must show a certificate is taken without one only where that is allowed") {
  const Pki pki;
  TlsOptions options = pki.options();
  options.verify = TlsOptions::Verify::dialled;
  const auto lenient = make_tls_transports(options);
  const Authority stranger(pki.folder, "stranger_ca");
  stranger.issue("stranger", "IP:127.0.0.1");
  CHECK(Pair(*make_tls_transports(pki.options("stranger")), *lenient).opened());
}

TEST_CASE("the higher of two minimum versions holds") {
  const Pki pki;
  TlsOptions options = pki.options();
  options.minimum = TlsOptions::Minimum::tls13;
  const auto strict = make_tls_transports(options);
  CHECK(Pair(*strict, *make_tls_transports(pki.options())).opened());
  Sockets sockets = connected_sockets();
  asio::ssl::context old(asio::ssl::context::tlsv12_client);
  asio::ssl::stream<tcp::socket> client(std::move(sockets.dialled), old);
  const auto server = strict->accepted(std::move(sockets.accepted));
  std::string said;
  server->async_open([&](const std::string& failure) {
    said = failure;
    server->close();
  });
  std::error_code refused;
  client.async_handshake(asio::ssl::stream_base::client,
                         [&](std::error_code error) { refused = error; });
  run_all();
  CHECK(refused);
  CHECK_THAT(said, Contains("TLS: "));
}

TEST_CASE("a plain peer is told apart from a broken one") {
  const Pki pki;
  const auto tls = make_tls_transports(pki.options());
  Sockets sockets = connected_sockets();
  const auto server = tls->accepted(std::move(sockets.accepted));
  const std::string hello("\0\x15N\0\0\0\5\x07\xc7\x4f\xbc\0\0\0\7\0\6t@host", 23);
  asio::write(sockets.dialled, asio::buffer(hello));
  std::string said;
  server->async_open([&](const std::string& failure) { said = failure; });
  run_all();
  CHECK_THAT(said, Contains("the peer does not speak TLS, and we do"));
}

TEST_CASE("a reload changes what later connections show, and nothing of those that are there") {
  const Pki pki;
  pki.ca.issue("changing", "DNS:elsewhere.example.com");
  const auto changing = make_tls_transports(pki.options("changing"));
  const auto node = make_tls_transports(pki.options());
  Pair before(*node, *changing, "elsewhere.example.com");
  REQUIRE(before.opened());
  pki.ca.issue("changing", "IP:127.0.0.1");
  CHECK_FALSE(Pair(*node, *changing).opened());
  changing->reload();
  CHECK(Pair(*node, *changing).opened());
  CHECK(sent(before, "still here") == "still here");
}

TEST_CASE("a reload of broken files changes nothing") {
  const Pki pki;
  pki.ca.issue("breaking", "IP:127.0.0.1");
  const auto breaking = make_tls_transports(pki.options("breaking"));
  test::write_text(pki.folder / "breaking.pem", "no certificate");
  breaking->reload();
  CHECK(Pair(*make_tls_transports(pki.options()), *breaking).opened());
}

}  // namespace
}  // namespace ml_worker::distribution
