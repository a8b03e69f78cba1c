#include "distribution/control.h"

#include <algorithm>
#include <array>
#include <utility>

namespace ml_worker::distribution {
namespace {

using terms::Reader;
using terms::ScannedTerm;
using terms::TermType;
using terms::Writer;

// ---- Parsers, one per shape: the reader stands behind the operation code
// ---------------------------

using Parse = std::optional<ControlMessage> (*)(Reader&, const Operation&);

std::optional<ControlMessage> parse_ignored(Reader&, const Operation& operation) {
  return Ignored{operation.name};
}

/// A pid or a reference as it came: a few hundred bytes. What is kept or sent back must be one, for
/// any other term may be as long as the message is, and the table of calls has room for many.
bool read_as(TermType type, Reader& in, ByteView& bytes) {
  if (in.type() != type) return false;
  bytes = in.read_raw();
  return true;
}

bool read_pid(Reader& in, ByteView& pid) { return read_as(TermType::pid, in, pid); }

bool read_reference(Reader& in, ByteView& reference) {
  return read_as(TermType::reference, in, reference);
}

/// What is monitored: a process, or a name of one.
bool read_target(Reader& in, ByteView& target) {
  return read_pid(in, target) || read_as(TermType::atom, in, target);
}

/// An integer of up to 64 bits without sign, as UNLINK_ID has it.
bool read_id(Reader& in, ByteView& id) {
  constexpr std::size_t kMostBytes = 3 + 8;  // of SMALL_BIG_EXT: tag, length, sign, digits
  return read_as(TermType::integer, in, id) && id.size() <= kMostBytes;
}

/// The last element of a control tuple with one.
std::optional<TraceToken> read_token(Reader& in, const Operation& operation) {
  return operation.token ? TraceToken::parse(in.read_term()) : std::nullopt;
}

std::optional<ControlMessage> parse_reg_send(Reader& in, const Operation& operation) {
  RegSend message;
  if (!read_pid(in, message.from)) return std::nullopt;
  in.read_raw();  // was the cookie once
  const auto name = in.read_atom();
  if (!name) return std::nullopt;
  message.to_name = *name;
  message.token = read_token(in, operation);
  return message;
}

std::optional<ControlMessage> parse_monitor(Reader& in, const Operation&) {
  Monitor message;
  if (!read_pid(in, message.from)) return std::nullopt;
  Reader target = in;
  if (!read_target(in, message.target)) return std::nullopt;
  message.target_name = target.read_atom().value_or("");
  if (!read_reference(in, message.reference)) return std::nullopt;
  return message;
}

std::optional<ControlMessage> parse_demonitor(Reader& in, const Operation&) {
  Demonitor message;
  ByteView target;  // the reference says it all
  if (!read_pid(in, message.from) || !read_target(in, target) ||
      !read_reference(in, message.reference)) {
    return std::nullopt;
  }
  return message;
}

std::optional<ControlMessage> parse_link(Reader& in, const Operation&) {
  Link message;
  if (!read_pid(in, message.from) || !read_pid(in, message.to)) return std::nullopt;
  return message;
}

std::optional<ControlMessage> parse_unlink(Reader& in, const Operation& operation) {
  Unlink message;
  const bool has_id = operation.arity == 4;
  if (has_id && !read_id(in, message.id.emplace())) return std::nullopt;
  if (!read_pid(in, message.from) || !read_pid(in, message.to)) return std::nullopt;
  return message;
}

std::optional<ExitSignal> read_exit(Reader& in, const Operation& operation) {
  ExitSignal message{};
  if (!read_pid(in, message.from) || !read_pid(in, message.to)) return std::nullopt;
  if (operation.token) in.read_raw();
  if (!operation.payload) message.reason = in.read_raw();
  return message;
}

std::optional<ControlMessage> parse_exit(Reader& in, const Operation& operation) {
  return read_exit(in, operation);
}

std::optional<ControlMessage> parse_exit2(Reader& in, const Operation& operation) {
  auto message = read_exit(in, operation);
  if (message) message->sent_by_exit2 = true;
  return message;
}

/// An option is an atom, or a tuple that starts with one: `monitor`, `{monitor, […]}`.
std::optional<std::string> option_name(ScannedTerm option) {
  Reader in(option);
  if (in.type() == TermType::tuple && in.read_tuple() == std::size_t{0}) return std::nullopt;
  return in.read_atom();
}

bool read_options(ScannedTerm options, SpawnRequest& message) {
  Reader in(options);
  if (in.read_nil()) return true;
  const auto length = in.read_list();
  if (!length) return false;
  for (std::size_t i = 0; i < *length; ++i) {
    const auto name = option_name(in.read_term());
    if (name == "monitor") message.monitor = true;
    if (name == "link") message.link = true;
  }
  return in.read_nil();
}

std::optional<ControlMessage> parse_spawn_request(Reader& in, const Operation& operation) {
  SpawnRequest message;
  if (!read_reference(in, message.request_id)) return std::nullopt;
  if (!read_pid(in, message.from)) return std::nullopt;
  in.read_raw();  // the group leader: we print nothing
  if (in.read_tuple() != std::size_t{3}) return std::nullopt;
  auto module = in.read_atom();
  auto function = in.read_atom();
  const auto arity = in.read_integer();
  if (!module || !function || !arity) return std::nullopt;
  message.module = std::move(*module);
  message.function = std::move(*function);
  message.arity = *arity;
  if (!read_options(in.read_term(), message)) return std::nullopt;
  message.token = read_token(in, operation);
  return message;
}

// ---- The table
// ------------------------------------------------------------------------------------

constexpr const char* kNothing = "nothing: no process of ours waits for it";
constexpr const char* kDeliver = "to rex a call, to net_kernel a ping; other names: dropped";
constexpr const char* kBreak = "the call with that pid, if it has this link, ends with the reason";
constexpr const char* kKill = "the call with that pid ends with the reason; its work is cancelled";
constexpr const char* kSpawn = "SPAWN_REPLY at once, then the call; DOWN or EXIT when it ends";
constexpr bool kToken = true;
constexpr bool kPayload = true;

constexpr std::array kOperations = {
    Operation{1, "LINK", 3, false, false, "remembered; EXIT noproc if there is no such pid"},
    Operation{2, "SEND", 3, false, kPayload, kNothing},
    Operation{3, "EXIT", 4, false, false, kBreak},
    Operation{4, "UNLINK", 3, false, false, "the link is forgotten"},
    Operation{5, "NODE_LINK", 1, false, false, "nothing: obsolete"},
    Operation{6, "REG_SEND", 4, false, kPayload, kDeliver},
    Operation{7, "GROUP_LEADER", 3, false, false, "nothing: calls print nothing"},
    Operation{8, "EXIT2", 4, false, false, kKill},
    Operation{12, "SEND_TT", 4, kToken, kPayload, kNothing},
    Operation{13, "EXIT_TT", 5, kToken, false, kBreak},
    Operation{16, "REG_SEND_TT", 5, kToken, kPayload, kDeliver},
    Operation{18, "EXIT2_TT", 5, kToken, false, kKill},
    Operation{19, "MONITOR_P", 4, false, false,
              "remembered; DOWN noproc if there is no such pid or name"},
    Operation{20, "DEMONITOR_P", 4, false, false,
              "the caller gave up: its call is cancelled; other monitors are forgotten"},
    Operation{21, "MONITOR_P_EXIT", 5, false, false, "nothing: that it came is enough"},
    Operation{22, "SEND_SENDER", 3, false, kPayload, kNothing},
    Operation{23, "SEND_SENDER_TT", 4, kToken, kPayload, kNothing},
    Operation{24, "PAYLOAD_EXIT", 3, false, kPayload, kBreak},
    Operation{25, "PAYLOAD_EXIT_TT", 4, kToken, kPayload, kBreak},
    Operation{26, "PAYLOAD_EXIT2", 3, false, kPayload, kKill},
    Operation{27, "PAYLOAD_EXIT2_TT", 4, kToken, kPayload, kKill},
    Operation{28, "PAYLOAD_MONITOR_P_EXIT", 4, false, kPayload, "nothing: that it came is enough"},
    Operation{29, "SPAWN_REQUEST", 6, false, kPayload, kSpawn},
    Operation{30, "SPAWN_REQUEST_TT", 7, kToken, kPayload, kSpawn},
    Operation{31, "SPAWN_REPLY", 5, false, false, "nothing: we spawn nothing elsewhere"},
    Operation{32, "SPAWN_REPLY_TT", 6, kToken, false, "nothing: we spawn nothing elsewhere"},
    Operation{33, "ALIAS_SEND", 3, false, kPayload, kNothing},
    Operation{34, "ALIAS_SEND_TT", 4, kToken, kPayload, kNothing},
    Operation{35, "UNLINK_ID", 4, false, false, "the link is forgotten; UNLINK_ID_ACK"},
    Operation{36, "UNLINK_ID_ACK", 4, false, false, "nothing: we unlink nothing"},
};

Parse parser_of(std::int64_t code) {
  switch (code) {
    case 1:
      return parse_link;
    case 3:
    case 13:
    case 24:
    case 25:
      return parse_exit;
    case 4:
    case 35:
      return parse_unlink;
    case 6:
    case 16:
      return parse_reg_send;
    case 8:
    case 18:
    case 26:
    case 27:
      return parse_exit2;
    case 19:
      return parse_monitor;
    case 20:
      return parse_demonitor;
    case 29:
    case 30:
      return parse_spawn_request;
    default:
      return parse_ignored;
  }
}

const Operation* find_operation(std::int64_t code) {
  const auto* row = std::find_if(kOperations.begin(), kOperations.end(),
                                 [code](const Operation& each) { return each.code == code; });
  return row == kOperations.end() ? nullptr : row;
}

// ---- Building
// -------------------------------------------------------------------------------------

Writer start_control(Bytes& out, std::size_t arity, std::int64_t code) {
  Writer writer(out);
  writer.tuple(arity);
  writer.integer(code);
  return writer;
}

struct Shape {
  std::size_t arity;
  std::int64_t code;
};

Writer start_traced(Bytes& out, ByteView token, Shape without, Shape with) {
  const Shape& shape = token.empty() ? without : with;
  return start_control(out, shape.arity, shape.code);
}

/// The last element of the control tuple is `term`, or the payload is.
OutMessage finish(Bytes control, bool as_payload, TermParts term) {
  if (as_payload) return {std::move(control), std::move(term)};
  put_bytes(control, term.head);
  put_bytes(control, term.tail_bytes());
  return {std::move(control), std::nullopt};
}

}  // namespace

std::span<const Operation> operations() { return kOperations; }

SharedBytes share(Bytes bytes) {
  struct Shared {
    explicit Shared(Bytes moved) : bytes(std::move(moved)) {}
    ~Shared() { terms::recycle(std::move(bytes)); }
    Shared(const Shared&) = delete;
    Shared& operator=(const Shared&) = delete;
    Bytes bytes;
  };
  const auto shared = std::make_shared<Shared>(std::move(bytes));
  return {shared, &shared->bytes};
}

ControlMessage parse_control(ScannedTerm term) {
  Reader in(term);
  const auto arity = in.read_tuple();
  if (!arity || *arity == 0) return Unknown{-1};
  const auto code = in.read_integer();
  if (!code) return Unknown{-1};
  const Operation* operation = find_operation(*code);
  if (operation == nullptr || operation->arity != *arity) return Unknown{*code};
  return parser_of(*code)(in, *operation).value_or(Unknown{*code});
}

OutMessage make_spawn_reply(ByteView request_id, ByteView to, int spawned, ByteView result,
                            ByteView token) {
  OutMessage message;
  Writer control = start_traced(message.control, token, {5, 31}, {6, 32});
  control.raw(request_id);
  control.raw(to);
  control.integer(spawned);
  control.raw(result);
  control.raw(token);
  return message;
}

OutMessage make_send(ByteView to, TermParts term, ByteView token) {
  OutMessage message;
  Writer control = start_traced(message.control, token, {3, 2}, {4, 12});
  control.atom("");
  control.raw(to);
  control.raw(token);
  message.payload = std::move(term);
  return message;
}

OutMessage make_monitor(ByteView from, std::string_view name, ByteView reference) {
  OutMessage message;
  Writer control = start_control(message.control, 4, 19);
  control.raw(from);
  control.atom(name);
  control.raw(reference);
  return message;
}

OutMessage make_monitor_exit(bool exit_payload, ByteView from, ByteView to, ByteView reference,
                             TermParts reason) {
  Bytes bytes;
  Writer control = exit_payload ? start_control(bytes, 4, 28) : start_control(bytes, 5, 21);
  control.raw(from);
  control.raw(to);
  control.raw(reference);
  return finish(std::move(bytes), exit_payload, std::move(reason));
}

OutMessage make_exit(bool exit_payload, ByteView from, ByteView to, TermParts reason,
                     ByteView token) {
  Bytes bytes;
  Writer control = exit_payload ? start_traced(bytes, token, {3, 24}, {4, 25})
                                : start_traced(bytes, token, {4, 3}, {5, 13});
  control.raw(from);
  control.raw(to);
  control.raw(token);
  return finish(std::move(bytes), exit_payload, std::move(reason));
}

OutMessage make_unlink_id_ack(ByteView id, ByteView from, ByteView to) {
  OutMessage message;
  Writer control = start_control(message.control, 4, 36);
  control.raw(id);
  control.raw(from);
  control.raw(to);
  return message;
}

}  // namespace ml_worker::distribution
