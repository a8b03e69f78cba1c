#include "distribution/session.h"

#include <algorithm>
#include <utility>

#include "distribution/stack_trace.h"
#include "ml_worker/error.h"
#include "ml_worker/log.h"

namespace ml_worker::distribution {
namespace {

using terms::Reader;
using terms::scan_bare;
using terms::ScannedTerm;
using terms::TermType;
using terms::Writer;

constexpr const char* kOurModule = "ml_worker";
constexpr std::size_t kMaxWatchers = 64;       ///< of one call
constexpr std::size_t kSalvageBytes = 8192;    ///< how far a broken payload is searched for its tag
constexpr std::size_t kFrameOverhead = 65536;  ///< of a reply: control term and tags

Bytes copy(ByteView bytes) { return {bytes.begin(), bytes.end()}; }

std::string key_of(ByteView bytes) { return {bytes.begin(), bytes.end()}; }

Bytes atom_term(std::string_view name) {
  Bytes out;
  Writer(out).atom(name);
  return out;
}

TermParts atom_parts(std::string_view name) { return {atom_term(name), nullptr}; }

Bytes nil_term() {
  Bytes out;
  Writer(out).nil();
  return out;
}

RemoteReply raised(const Value& reason, Bytes stack = nil_term()) {
  Bytes term;
  Writer(term).value(reason);
  return {RemoteReply::Kind::raised, std::move(term), std::move(stack)};
}

RemoteReply undef(const std::string& module, const std::string& function, ScannedTerm arguments) {
  return raised(errors::undef().reason, stack_trace(module, function, arguments, true));
}

/// `{Reason, Stack}`: with what a process exits that raised an error.
TermParts exit_reason(const RemoteReply& reply) {
  if (reply.kind == RemoteReply::Kind::returned) return atom_parts("normal");
  TermParts parts;
  Writer out(parts.head);
  out.tuple(2);
  out.raw(reply.term);
  out.raw(reply.stack);
  return parts;
}

/// `{ResRef, return, V}` or `{ResRef, error, Reason, Stack}`: what erpc expects as exit reason.
TermParts erpc_reason(ByteView result_reference, RemoteReply reply) {
  TermParts parts;
  Writer out(parts.head);
  const bool returned = reply.kind == RemoteReply::Kind::returned;
  out.tuple(returned ? 3 : 4);
  out.raw(result_reference);
  out.atom(returned ? "return" : "error");
  if (returned) {
    parts.tail = share(std::move(reply.term));
  } else {
    out.raw(reply.term);
    out.raw(reply.stack);
  }
  return parts;
}

/// `{Tag, V}` or `{Tag, {badrpc, {'EXIT', {Reason, Stack}}}}`: what rex answers.
TermParts rex_message(ByteView tag, RemoteReply reply) {
  TermParts parts;
  Writer out(parts.head);
  out.tuple(2);
  out.raw(tag);
  if (reply.kind == RemoteReply::Kind::returned) {
    parts.tail = share(std::move(reply.term));
    return parts;
  }
  out.tuple(2);
  out.atom("badrpc");
  out.tuple(2);
  out.atom("EXIT");
  out.raw(exit_reason(reply).head);
  return parts;
}

/// The bytes behind the version byte; nothing where it is missing.
ByteView without_version(ByteView bytes) {
  constexpr char kVersion = static_cast<char>(131);
  return bytes.empty() || bytes.front() != kVersion ? ByteView{} : bytes.subspan(1);
}

/// Where the elements of the list or tuple begin that a payload is; 0: it is neither.
std::size_t elements_offset(ByteView payload) {
  constexpr char kSmallTuple = 'h';
  constexpr char kList = 'l';
  if (payload.empty()) return 0;
  if (payload.front() == kSmallTuple) return 2;
  return payload.front() == kList ? 5 : 0;
}

/// One of the first elements of a list or tuple whose rest cannot be read or is not there.
Bytes salvage_element(ByteView payload, std::size_t index) {
  const std::size_t offset = elements_offset(payload);
  if (offset == 0 || payload.size() <= offset) return {};
  ByteView rest = payload.subspan(offset);
  rest = rest.first(std::min(rest.size(), kSalvageBytes));
  for (;; --index) {
    const auto element = scan_bare(rest);
    if (!element) return {};
    if (index == 0) return copy(element->bytes());
  }
}

/// gen:call's tag is a reference, or `[alias|Reference]`; its monitor has the same reference.
ByteView reference_in_tag(ScannedTerm tag) {
  Reader in(tag);
  if (in.type() == TermType::reference) return in.read_raw();
  if (in.read_list() != std::size_t{1} || in.read_atom() != "alias") return {};
  return in.type() == TermType::reference ? in.read_raw() : ByteView{};
}

/// What a message of `sender` carries; nothing where nothing is traced.
Bytes next_token(std::optional<TraceToken>& token, ByteView sender) {
  return token ? token->next(sender) : Bytes{};
}

/// Names that gen_server:call may monitor: there is no such process, but an answer will come.
bool is_served_name(const std::string& name) { return name == "rex" || name == "net_kernel"; }

}  // namespace

Session::Session(Peer peer, NodeContext& context, Outbox& outbox)
    : peer_(std::move(peer)), context_(context), outbox_(outbox) {}

Session::Verdict Session::on_message(Message message) {
  const bool versioned = message.versioned;
  const auto bytes = std::make_shared<const Bytes>(std::move(message.bytes));
  ByteView rest = ByteView(*bytes).subspan(message.start);
  if (versioned) rest = without_version(rest);
  const auto control = scan_bare(rest);
  if (!control) return Verdict::close;
  if (versioned) rest = without_version(rest);
  const Payload payload{rest, message.length, message.missing, bytes};
  std::visit([&](const auto& meaning) { on(meaning, payload); }, parse_control(*control));
  return Verdict::keep;
}

void Session::abort() {
  aborted_ = true;
  by_reference_.clear();
  leave_calls_of_others();
  std::vector<CallId> own;
  own.reserve(calls_.size());
  for (const auto& [id, call] : calls_) own.push_back(id);
  for (const CallId id : own) {
    if (calls_.contains(id)) leave_own_call(id);
  }
}

void Session::leave_calls_of_others() {
  while (!watched_elsewhere_.empty()) {
    const Found found = find(watched_elsewhere_.extract(watched_elsewhere_.begin()).key());
    if (unwatch_all(found.call)) found.owner->end(found.id, atom_parts("noconnection"));
  }
}

/// REQUIRES: there is such a call.
void Session::leave_own_call(CallId id) {
  Call& call = calls_.find(id)->second;
  // A cast has nobody who waits: it goes on, as it would in a process.
  const bool waited_for = call.style != Call::Style::process || !call.watchers.empty();
  if (unwatch_all(call)) return end(id, atom_parts("noconnection"));
  if (call.style == Call::Style::process && !call.watchers.empty()) return;  // others wait for it
  if (waited_for) return end(id, atom_parts("killed"));
  remove(id);
}

// ---- Messages
// -------------------------------------------------------------------------------------

void Session::on(const RegSend& message, const Payload& payload) {
  if (!is_served_name(message.to_name)) return;
  ByteView rest = payload.bytes;
  const auto term = payload.is_whole() ? scan_bare(rest) : std::nullopt;
  if (!term) return on_unreadable_request(message, payload);
  Reader in(*term);
  if (in.read_tuple() != std::size_t{3} || in.read_atom() != "$gen_call") return;
  if (in.read_tuple() != std::size_t{2} || in.type() != TermType::pid) return;
  const ByteView from = in.read_raw();
  const ScannedTerm tag = in.read_term();
  const ScannedTerm request = in.read_term();
  const Asked asked{from, tag, request, message.token};
  if (message.to_name == "rex") {
    on_rex_request(asked, payload);
  } else {
    on_net_kernel_request(asked);
  }
}

/// `{'$gen_call', {Pid, Tag}, …` and then something that cannot be read: the caller gets to know.
void Session::on_unreadable_request(const RegSend& message, const Payload& payload) {
  const Bytes from_term = salvage_element(payload.bytes, 1);
  ByteView rest(from_term);
  const auto from = scan_bare(rest);
  if (message.to_name != "rex" || !from) return;
  Reader in(*from);
  if (in.read_tuple() != std::size_t{2} || in.type() != TermType::pid) return;
  Call call;
  call.style = Call::Style::rex;
  call.from = copy(in.read_raw());
  call.tag = copy(in.read_raw());
  answer(std::move(call), unreadable(payload));
}

/// net_adm:ping: `{is_auth, Node}`; whoever got here is.
void Session::on_net_kernel_request(const Asked& asked) {
  Reader in(asked.request);
  if (in.read_tuple() != std::size_t{2} || in.read_atom() != "is_auth") return;
  RemoteReply yes{RemoteReply::Kind::returned, atom_term("yes"), {}};
  Bytes token;
  if (auto traced = asked.token) {
    token = traced->next(context_.pids.term(context_.pids.allocate()));
  }
  outbox_.send(make_send(asked.from, rex_message(asked.tag.bytes(), std::move(yes)), token));
}

/// `{call, M, F, A, GroupLeader}`, and `block_call` alike.
void Session::on_rex_request(const Asked& asked, const Payload& payload) {
  Reader in(asked.request);
  if (in.read_tuple() != std::size_t{5}) return;
  const auto operation = in.read_atom();
  if (operation != "call" && operation != "block_call") return;
  auto module = in.read_atom();
  auto function = in.read_atom();
  if (!module || !function) return;
  Call call;
  call.style = Call::Style::rex;
  call.from = copy(asked.from);
  call.tag = copy(asked.tag.bytes());
  call.reference = copy(reference_in_tag(asked.tag));
  call.token = asked.token;
  if (full()) {
    return answer(std::move(call), raised(atom("system_limit")));
  }
  const CallId id = add(std::move(call));
  start(id, Invocation{{}, std::move(*module), std::move(*function), in.read_term()}, payload);
}

void Session::on(const Monitor& message, const Payload&) {
  if (is_served_name(message.target_name)) return;
  const auto found = find(message.target);
  if (found && watch(*found, message.from, message.reference)) return;
  send_down(message.target, message.from, message.reference, atom_parts("noproc"));
}

void Session::on(const Demonitor& message, const Payload&) {
  const auto known = by_reference_.find(key_of(message.reference));
  if (known == by_reference_.end()) return;
  const Found found = find(known->second);
  by_reference_.erase(known);
  unwatch(found, {}, message.reference);
  const bool gives_up =
      found.owner.get() == this && std::ranges::equal(found.call.reference, message.reference);
  if (gives_up) end(found.id, atom_parts("killed"));
}

void Session::on(const Link& message, const Payload&) {
  const auto found = find(message.to);
  if (found && watch(*found, message.from, {})) return;
  send_exit(message.to, message.from, atom_parts("noproc"));
}

void Session::on(const Unlink& message, const Payload&) {
  if (const auto found = find(message.to)) unwatch(*found, message.from, {});
  if (message.id) outbox_.send(make_unlink_id_ack(*message.id, message.to, message.from));
}

void Session::on(const ExitSignal& message, const Payload& payload) {
  const auto found = find(message.to);
  if (!found) return;
  // An exit along a link that was taken back meanwhile is nobody's.
  if (!message.sent_by_exit2 && !unwatch(*found, message.from, {})) return;
  ByteView rest = message.reason.value_or(payload.bytes);
  const auto reason = scan_bare(rest);
  const auto name = reason ? Reader(*reason).read_atom() : std::nullopt;
  // A process that does not trap exits lives on after `normal`.
  if (name == "normal") return;
  const bool killed = message.sent_by_exit2 && name == "kill";
  found->owner->end(found->id, killed   ? atom_parts("killed")
                               : reason ? TermParts{{}, share(copy(reason->bytes()))}
                                        : atom_parts("unreadable"));
}

void Session::on(const SpawnRequest& message, const Payload& payload) {
  if (full()) {
    outbox_.send(make_spawn_reply(message.request_id, message.from, 0, atom_term("system_limit")));
    return;
  }
  const bool answered = message.module == "erpc" && message.function == "execute_call" &&
                        message.arity == 4 && message.monitor;
  Call call;
  call.style = answered ? Call::Style::erpc : Call::Style::process;
  call.from = copy(message.from);
  if (answered) call.reference = copy(message.request_id);
  call.token = message.token;
  if (message.monitor) call.watchers.push_back(watcher(message.from, message.request_id));
  if (message.link) call.watchers.push_back(watcher(message.from, {}));
  auto invocation = read_spawn(message, payload);
  if (answered) call.tag = invocation ? invocation->tag : salvage_element(payload.bytes, 0);
  const CallId id = add(std::move(call));
  // At once and not with the result: the VM takes DOWN before SPAWN_REPLY for a broken protocol,
  // and a caller that times out earlier could not tell us.
  const int spawned =
      (message.link ? kSpawnedLinked : 0) | (message.monitor ? kSpawnedMonitored : 0);
  Call& added = calls_[id];
  outbox_.send(make_spawn_reply(message.request_id, message.from, spawned, added.pid,
                                next_token(added.token, added.pid)));
  if (!invocation) return finish(id, unreadable(payload));
  start(id, std::move(*invocation), payload);
}

void Session::on(const Ignored&, const Payload&) {}

void Session::on(const Unknown& message, const Payload&) {
  if (!context_.log_limiter.allow("unknown operation of " + peer_.name)) return;
  log::warning(
      "unknown control message ignored",
      {{"peer", log::printable(peer_.name)}, {"operation", std::to_string(message.operation)}});
}

// ---- Calls
// ----------------------------------------------------------------------------------------

Session::CallId Session::add(Call call) {
  const CallId id = context_.pids.allocate();
  call.pid = context_.pids.term(id);
  if (!call.reference.empty()) by_reference_.emplace(key_of(call.reference), id);
  for (const Watcher& watcher : call.watchers) {
    if (!watcher.reference.empty()) by_reference_.emplace(key_of(watcher.reference), id);
  }
  calls_.emplace(id, std::move(call));
  context_.owners.emplace(id, shared_from_this());
  return id;
}

/// REQUIRES: there is such a call, and somebody else keeps this session alive.
Session::Call Session::remove(CallId id) {
  Call call = std::move(calls_.extract(id).mapped());
  context_.owners.erase(id);
  forget_reference(call.reference, id);
  for (const Watcher& each : call.watchers) {
    if (const auto session = each.session.lock()) session->watched_call_ended(id, each);
  }
  return call;
}

void Session::forget_reference(ByteView reference, CallId id) {
  const auto known = by_reference_.find(key_of(reference));
  if (known != by_reference_.end() && known->second == id) by_reference_.erase(known);
}

std::optional<Session::Found> Session::find(ByteView pid) const {
  const auto id = context_.pids.recognise(pid);
  if (!id || !context_.owners.contains(*id)) return std::nullopt;
  return find(*id);
}

/// REQUIRES: there is such a call, of whichever session.
Session::Found Session::find(CallId id) const {
  const auto& owner = context_.owners.find(id)->second;
  return {owner, id, owner->calls_.find(id)->second};
}

// ---- Watchers
// -------------------------------------------------------------------------------------

Session::Watcher Session::watcher(ByteView pid, ByteView reference) {
  return {weak_from_this(), copy(pid), copy(reference)};
}

/// A monitor, or a link if the reference is empty. False: the call has as many as it may have.
bool Session::watch(const Found& found, ByteView pid, ByteView reference) {
  auto& watchers = found.call.watchers;
  const bool linked = reference.empty() && std::ranges::any_of(watchers, [&](const Watcher& each) {
                        return is_link(each, pid);
                      });
  if (linked) return true;
  if (watchers.size() >= kMaxWatchers) return false;
  watchers.push_back(watcher(pid, reference));
  if (!reference.empty()) by_reference_.emplace(key_of(reference), found.id);
  if (found.owner.get() != this) ++watched_elsewhere_[found.id];
  return true;
}

/// The same taken back. Whether it was there.
bool Session::unwatch(const Found& found, ByteView pid, ByteView reference) {
  const auto gone = std::erase_if(found.call.watchers, [&](const Watcher& each) {
    return reference.empty() ? is_link(each, pid)
                             : watches(each) && std::ranges::equal(each.reference, reference);
  });
  const auto elsewhere = watched_elsewhere_.find(found.id);
  if (elsewhere != watched_elsewhere_.end() && (elsewhere->second -= gone) == 0) {
    watched_elsewhere_.erase(elsewhere);
  }
  return gone > 0;
}

bool Session::is_link(const Watcher& each, ByteView pid) const {
  return each.reference.empty() && watches(each) && std::ranges::equal(each.pid, pid);
}

/// Takes all watchers of this peer out. Whether a link was among them.
bool Session::unwatch_all(Call& call) const {
  bool linked = false;
  std::erase_if(call.watchers, [&](const Watcher& each) {
    if (!watches(each)) return false;
    linked = linked || each.reference.empty();
    return true;
  });
  return linked;
}

void Session::watched_call_ended(CallId id, const Watcher& watcher) {
  forget_reference(watcher.reference, id);
  watched_elsewhere_.erase(id);
}

/// What a spawn request wants to be called; nothing if its arguments cannot be read.
std::optional<Session::Invocation> Session::read_spawn(const SpawnRequest& message,
                                                       const Payload& payload) const {
  ByteView rest = payload.bytes;
  const auto term = payload.is_whole() ? scan_bare(rest) : std::nullopt;
  if (!term) return std::nullopt;
  const bool execute_call =
      message.module == "erpc" && message.function == "execute_call" && message.arity == 4;
  const bool execute_cast =
      message.module == "erpc" && message.function == "execute_cast" && message.arity == 3;
  if (!execute_call && !execute_cast) {
    return Invocation{{}, message.module, message.function, *term};
  }
  Reader in(*term);
  if (in.read_list() != static_cast<std::size_t>(message.arity)) return std::nullopt;
  Bytes tag = execute_call ? copy(in.read_raw()) : Bytes{};
  auto module = in.read_atom();
  auto function = in.read_atom();
  if (!module || !function) return std::nullopt;
  return Invocation{std::move(tag), std::move(*module), std::move(*function), in.read_term()};
}

/// Why the arguments of a call cannot be used.
RemoteReply Session::unreadable(const Payload& payload) const {
  const auto length = static_cast<std::size_t>(payload.message_length);
  switch (payload.missing) {
    case Message::Missing::too_large:
      return raised(errors::too_large("frame", length, context_.max_message_bytes).reason);
    case Message::Missing::no_room:
      return raised(errors::overloaded(std::chrono::seconds(1)).reason);
    case Message::Missing::nothing:
      break;
  }
  return raised(
      errors::bad_argument("args", "expected [Module, Function, Args] as a readable term").reason);
}

void Session::start(CallId id, Invocation invocation, const Payload& payload) {
  if (invocation.module != kOurModule) {
    return finish(id, undef(invocation.module, invocation.function, invocation.arguments));
  }
  if (!list_length(invocation.arguments)) {
    return finish(id, raised(errors::bad_argument("args", "expected a list of arguments").reason));
  }
  CancelCall cancel_call = context_.handler.call(
      RemoteCall{peer_.name, std::move(invocation.module), std::move(invocation.function),
                 invocation.arguments, payload.frame},
      replier(id));
  if (const auto call = calls_.find(id); call != calls_.end()) {
    call->second.cancel = std::move(cancel_call);
  }
}

/// Keeps nothing of ours alive and may be called when session and node are gone.
CallReplier Session::replier(CallId id) {
  return [post = context_.post, session = weak_from_this(), id](RemoteReply reply) {
    post([session, id, reply = std::move(reply)]() mutable {
      if (const auto self = session.lock()) self->finish(id, std::move(reply));
    });
  };
}

void Session::finish(CallId id, RemoteReply reply) {
  if (!calls_.contains(id)) return;  // the caller has given up
  Call call = remove(id);
  RemoteReply fitting = checked(std::move(reply), call.tag.size());
  answer(std::move(call), std::move(fitting));
}

/// Before its time: its work is cancelled, and whoever watches is told.
void Session::end(CallId id, const TermParts& reason) {
  const Call call = remove(id);
  if (call.cancel) call.cancel();
  notify(call, reason);
}

/// A reply that cannot be sent, with its tag, becomes an error that says so.
RemoteReply Session::checked(RemoteReply reply, std::size_t tag_bytes) const {
  if (aborted_) return reply;
  const std::size_t size = reply.term.size() + reply.stack.size() + tag_bytes + kFrameOverhead;
  if (size > context_.max_reply_bytes) {
    return raised(errors::too_large("reply", size, context_.max_reply_bytes).reason);
  }
  if (outbox_.unsent_bytes() + size > context_.max_unsent_bytes) {
    return raised(errors::overloaded(std::chrono::seconds(1)).reason);
  }
  return reply;
}

void Session::answer(Call call, RemoteReply reply) {
  switch (call.style) {
    case Call::Style::rex:
      if (aborted_) return;
      return outbox_.send(make_send(call.from, rex_message(call.tag, std::move(reply)),
                                    next_token(call.token, call.pid)));
    case Call::Style::erpc:
      return notify(
          call, call.tag.empty() ? exit_reason(reply) : erpc_reason(call.tag, std::move(reply)));
    case Call::Style::process:
      return notify(call, exit_reason(reply));
  }
}

/// REQUIRES: the call was one of this session's. Its token is for the peer that it came from.
void Session::notify(const Call& call, const TermParts& reason) const {
  auto token = call.token;
  for (const Watcher& each : call.watchers) {
    const auto session = each.session.lock();
    if (!session) continue;
    const bool traced = session.get() == this && each.reference.empty();
    session->tell(call.pid, each, reason, traced ? next_token(token, call.pid) : Bytes{});
  }
}

/// A watcher of this session's peer hears of the end of a call, whosever it was. A long reason that
/// has no room on this connection becomes one that says so: a call has many watchers, and what one
/// peer ends it with must not cost another its connection.
void Session::tell(ByteView ended, const Watcher& watcher, const TermParts& reason,
                   ByteView token) {
  if (aborted_) return;
  TermParts told = has_room_for(reason)
                       ? reason
                       : exit_reason(raised(errors::overloaded(std::chrono::seconds(1)).reason));
  if (watcher.reference.empty()) {
    send_exit(ended, watcher.pid, std::move(told), token);
  } else {
    send_down(ended, watcher.pid, watcher.reference, std::move(told));
  }
}

bool Session::has_room_for(const TermParts& reason) const {
  return reason.size() <= kFrameOverhead ||
         outbox_.unsent_bytes() + reason.size() <= context_.max_unsent_bytes;
}

void Session::send_down(ByteView from, ByteView to, ByteView reference, TermParts reason) {
  const bool payload = (peer_.flags & flags::kExitPayload) != 0;
  outbox_.send(make_monitor_exit(payload, from, to, reference, std::move(reason)));
}

void Session::send_exit(ByteView from, ByteView to, TermParts reason, ByteView token) {
  const bool payload = (peer_.flags & flags::kExitPayload) != 0;
  outbox_.send(make_exit(payload, from, to, std::move(reason), token));
}

}  // namespace ml_worker::distribution
