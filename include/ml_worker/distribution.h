// A hidden Erlang node: epmd, handshake, frames, control messages, ticks.
//
// One thread (whoever calls Node::run) does all reading and writing of all connections. Calls go
// out through CallHandler and come back, from any thread, through `CallReplier`. docs/PROTOCOL.md
// has the grammar, the table of messages and worked examples.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ml_worker/terms.h"

namespace ml_worker::distribution {

/// A function call from a peer, however it was sent (spawn request, rex). `frame` keeps the bytes
/// that `arguments` views.
struct RemoteCall {
  std::string peer;  ///< node name
  std::string module;
  std::string function;
  terms::ScannedTerm arguments;  ///< the argument list
  std::shared_ptr<const terms::Bytes> frame;
};

/// A call's answer, in terms without version byte.
struct RemoteReply {
  enum class Kind {
    returned,  ///< `term` is the value
    raised,    ///< class error: `term` is the reason, `stack` the stack trace (a list)
  };
  Kind kind;
  terms::Bytes term;
  terms::Bytes stack;
};

/// `[{Module, Function, Arguments, []}]`: the stack of an exception that a call raises, as an
/// Erlang node gives it. `undef` echoes the arguments, but only under 1 KB: a caller's megabytes
/// are not sent back. Otherwise the arity stands in their place (0 for what is no proper list).
terms::Bytes stack_trace(const std::string& module, const std::string& function,
                         terms::ScannedTerm arguments, bool echo_arguments);

using CallReplier = std::function<void(RemoteReply)>;

/// Given up by the caller (timed out, exited, its node gone): stop working for it.
using CancelCall = std::function<void()>;

class CallHandler {
 public:
  virtual ~CallHandler() = default;
  /// Called on the node's thread: must not block. `reply` is called at most once, from any thread,
  /// and may be kept after a cancel (it then does nothing).
  virtual CancelCall call(RemoteCall call, CallReplier reply) = 0;
};

/// ERL_EPMD_PORT, as every Erlang node reads it, else 4369.
std::uint16_t epmd_port_from_environment();

/// Clusters started with `-proto_dist inet_tls`: TLS from the first byte, the cookie's handshake
/// inside. All files are PEM.
struct TlsOptions {
  enum class Verify {
    all,      ///< both sides' chains, and that the dialled node's certificate is for its host
    chain,    ///< both sides' chains
    dialled,  ///< the dialled node's chain and host; a node that dials us needs no certificate
    nothing,
  };
  enum class Minimum { tls12, tls13 };

  std::filesystem::path certificate;  ///< ours first, then its chain
  std::filesystem::path key;          ///< empty: in the certificate's file
  std::filesystem::path authorities;
  Verify verify = Verify::all;
  Minimum minimum = Minimum::tls12;
  std::string ciphers;  ///< OpenSSL's names with colons between; empty: OpenSSL's choice
};

struct NodeOptions {
  std::string name;  ///< full: worker1@127.0.0.1
  std::string cookie;
  std::string listen_address = "0.0.0.0";
  std::uint16_t port_from = 0;  ///< 0: any port
  std::uint16_t port_to = 0;
  std::uint16_t epmd_port = epmd_port_from_environment();
  bool start_epmd = true;         ///< as `erl` does, if none runs
  bool use_epmd = true;           ///< false: our name is nowhere, peers know the port
  std::optional<TlsOptions> tls;  ///< none: plain TCP
  /// For the first registration: a name that a crash left behind is free again in seconds.
  std::chrono::milliseconds registration_timeout{10000};
  std::vector<std::string> join;  ///< nodes to connect to, again whenever the connection is lost
  std::uint16_t join_port = 0;    ///< where they listen; 0: their hosts' epmd knows
  /// How often an idle peer hears of us: at most a quarter of the cluster's net_ticktime.
  std::chrono::milliseconds tick_interval{15000};
  /// A peer that was silent for that long, and did not answer a question at the end of it, is given
  /// up, as long as its ticks have not told its net_ticktime.
  std::chrono::milliseconds peer_timeout{60000};
  std::chrono::milliseconds handshake_timeout{7000};
  std::chrono::milliseconds send_timeout{30000};  ///< a peer that does not read is cut after that
  std::size_t max_connections = 1024;
  std::size_t max_handshakes = 1024;  ///< under way at once; one address may have half of them
  /// Of handshakes that do not prove the cookie, per second; after a pause ten times as many.
  std::size_t handshake_rate = 100;                        ///< from one address
  std::size_t handshake_rate_total = 400;                  ///< from all
  std::size_t max_message_bytes = std::size_t{128} << 20;  ///< from a peer, whole
  /// Of messages that a peer has sent a part of, per connection.
  std::size_t max_reassembly_bytes = std::size_t{256} << 20;
  std::size_t max_reassembly_messages = 4096;
  std::size_t max_unsent_bytes = std::size_t{512} << 20;  ///< per connection
  std::size_t max_calls = 100000;                         ///< in the table of jobs, all peers
};

class Node {
 public:
  /// Throws StartupError (tls).
  Node(NodeOptions options, CallHandler& handler);
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  /// Listens and registers with epmd. Throws StartupError (network, epmd, name_taken). False:
  /// unpublish() or stop() came first, and run() has only to end.
  bool start();
  /// Serves until stop() has done its work. Signal-driven callers use on_signal.
  void run();
  /// From any thread or before run(): `action` runs on the node's thread when the process gets
  /// one of `signals`.
  void on_signal(const std::vector<int>& signals, std::function<void(int)> action);
  /// Thread safe. New connections use the TLS files as they are now; broken ones are logged and not
  /// used.
  void reload_tls();
  /// Thread safe. Takes the name from epmd and accepts no new connection; the old ones go on.
  void unpublish();
  /// Thread safe. Sends what is waiting (for at most `linger`), closes all connections and ends
  /// run().
  void stop(std::chrono::milliseconds linger);

  std::uint16_t port() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

/// Checks `NAME@HOST` (`short_names`: host without a dot). Returns what is wrong, or "".
std::string check_node_name(const std::string& name, bool short_names);

}  // namespace ml_worker::distribution
