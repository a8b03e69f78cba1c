// Control messages: what peers say to each other besides data ("Protocol between Connected Nodes").
//
// Functions of bytes only. Pids, references, ids and reasons are views of the term as it came: they
// are echoed. A pid is a pid and so on, a few hundred bytes; only a reason may be any term.
// docs/PROTOCOL.md prints the table of operations.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>

#include "distribution/trace_token.h"
#include "distribution/wire.h"

namespace ml_worker::distribution {

// ---- What arrives
// ---------------------------------------------------------------------------------

struct RegSend {  ///< a message to a registered name
  ByteView from;
  std::string to_name;
  std::optional<TraceToken> token;
};
struct Monitor {
  ByteView from;
  ByteView target;          ///< a name or a pid
  std::string target_name;  ///< "" if a pid
  ByteView reference;
};
struct Demonitor {
  ByteView from;
  ByteView reference;
};
struct Link {
  ByteView from;
  ByteView to;
};
struct Unlink {
  std::optional<ByteView> id;  ///< of UNLINK_ID, which wants an acknowledgement
  ByteView from;
  ByteView to;
};
struct ExitSignal {
  bool sent_by_exit2;  ///< exit(Pid, Reason); otherwise a link broke
  ByteView from;
  ByteView to;
  std::optional<ByteView> reason;  ///< nothing: it is the payload
};
struct SpawnRequest {
  ByteView request_id;
  ByteView from;
  std::string module;
  std::string function;
  std::int64_t arity = 0;
  bool monitor = false;
  bool link = false;
  std::optional<TraceToken> token;
};
struct Ignored {  ///< known, and nothing to be done about it
  const char* operation;
};
struct Unknown {
  std::int64_t operation;  ///< -1: not even a number
};

using ControlMessage = std::variant<RegSend, Monitor, Demonitor, Link, Unlink, ExitSignal,
                                    SpawnRequest, Ignored, Unknown>;

/// The message that a control term means; Unknown where its shape is not the protocol's.
ControlMessage parse_control(terms::ScannedTerm term);

/// One row per operation of the protocol.
struct Operation {
  std::int64_t code;
  const char* name;
  std::size_t arity;  ///< of the control tuple
  bool token;         ///< a trace token is among its elements
  bool payload;       ///< a second term follows
  const char* what_we_do;
};
std::span<const Operation> operations();

// ---- What we send
// ---------------------------------------------------------------------------------

/// Bytes that several messages may end in. Nothing: none.
using SharedBytes = std::shared_ptr<const Bytes>;
/// Given back (terms::recycle) by whoever needs them last.
SharedBytes share(Bytes bytes);

/// A term without version byte, in two pieces so that a large one is never copied, however many
/// messages it goes out in.
struct TermParts {
  Bytes head;
  SharedBytes tail;

  ByteView tail_bytes() const { return tail ? ByteView(*tail) : ByteView{}; }
  std::size_t size() const { return head.size() + tail_bytes().size(); }
};

/// Terms without version bytes; send_queue.h makes frames of them.
struct OutMessage {
  Bytes control;
  std::optional<TermParts> payload;
};

inline constexpr int kSpawnedLinked = 1;
inline constexpr int kSpawnedMonitored = 2;

// `token`: of seq_trace, empty where there is none.
OutMessage make_spawn_reply(ByteView request_id, ByteView to, int spawned, ByteView result,
                            ByteView token = {});
OutMessage make_send(ByteView to, TermParts message, ByteView token = {});
/// MONITOR_P of a registered name.
OutMessage make_monitor(ByteView from, std::string_view name, ByteView reference);
/// DOWN. `exit_payload`: DFLAG_EXIT_PAYLOAD is in force, the reason travels as the payload.
OutMessage make_monitor_exit(bool exit_payload, ByteView from, ByteView to, ByteView reference,
                             TermParts reason);
/// EXIT along a link.
OutMessage make_exit(bool exit_payload, ByteView from, ByteView to, TermParts reason,
                     ByteView token = {});
OutMessage make_unlink_id_ack(ByteView id, ByteView from, ByteView to);

}  // namespace ml_worker::distribution
