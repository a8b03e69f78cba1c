// What a connected peer may ask for, and the table of its calls.
//
// Knows messages, not sockets: they come in through on_message(), answers go out through an Outbox.
// Everything here runs on the node's thread, so nothing is locked; replies from other threads are
// posted to it.
//
// A call belongs to the session that it came through. Any peer may watch it or end it, as any node
// of a cluster may do with a process: NodeContext::owners says whose a call is, and a watcher
// remembers the session through which it is told.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "distribution/control.h"
#include "distribution/handshake.h"
#include "distribution/log_limit.h"
#include "distribution/messages.h"
#include "distribution/pids.h"
#include "ml_worker/distribution.h"

namespace ml_worker::distribution {

/// Where a session's frames go. send() queues and never blocks.
class Outbox {
 public:
  virtual ~Outbox() = default;
  virtual void send(OutMessage message) = 0;
  virtual std::size_t unsent_bytes() const = 0;
};

class Session;

/// What all sessions of a node share. Used on the node's thread only, but for `post`.
struct NodeContext {
  std::string name;
  OurPids pids;
  CallHandler& handler;
  /// Runs a function on the node's thread: now if we are on it, or later. From any thread.
  std::function<void(std::function<void()>)> post;
  std::size_t max_calls;
  std::size_t max_message_bytes;  ///< that we read
  std::size_t max_reply_bytes;    ///< what fits into a frame and into the unsent bytes
  std::size_t max_unsent_bytes;   ///< per connection
  /// Whose each call is that runs, by the number of its pid. Each session enters and removes its
  /// own calls, and lives while it has one here.
  std::unordered_map<std::uint64_t, std::shared_ptr<Session>> owners{};
  LogLimiter log_limiter{};
};

class Session : public std::enable_shared_from_this<Session> {
 public:
  /// `context` and `outbox` outlive the session's last use: abort() ends it.
  Session(Peer peer, NodeContext& context, Outbox& outbox);

  enum class Verdict { keep, close };
  /// `close`: what came cannot be trusted to be in step.
  Verdict on_message(Message message);

  /// The connection is gone: its links break, and whatever its peer waited for is cancelled.
  /// Nothing is sent any more. A process that others watch goes on, and so does a cast.
  void abort();

  std::size_t calls() const { return calls_.size(); }

 private:
  using CallId = std::uint64_t;  ///< the number of the call's pid

  /// Somebody who is told when a call ends.
  struct Watcher {
    std::weak_ptr<Session> session;  ///< of the peer at which it is
    Bytes pid;
    Bytes reference;  ///< empty: a link
  };

  struct Call {
    enum class Style {
      erpc,     ///< the reason of its DOWN is the answer
      rex,      ///< a message is the answer
      process,  ///< nobody is answered; it ends as a process does
    };
    Style style = Style::process;
    Bytes pid;
    Bytes from;
    Bytes reference;                  ///< DEMONITOR_P names it; empty: none
    Bytes tag;                        ///< echoed in the answer: erpc's ResRef, gen_call's Tag
    std::optional<TraceToken> token;  ///< of its caller
    std::vector<Watcher> watchers;
    CancelCall cancel;
  };

  /// A call that runs, maybe another session's.
  struct Found {
    std::shared_ptr<Session> owner;
    CallId id;
    Call& call;
  };

  struct Invocation {
    Bytes tag;
    std::string module;
    std::string function;
    terms::ScannedTerm arguments;
  };

  /// A gen_server:call of a name that we serve.
  struct Asked {
    ByteView from;
    terms::ScannedTerm tag;
    terms::ScannedTerm request;
    std::optional<TraceToken> token;
  };

  /// The term behind the control term, without version byte and perhaps not all of it.
  struct Payload {
    ByteView bytes;
    std::uint64_t message_length;
    Message::Missing missing;
    std::shared_ptr<const Bytes> frame;

    bool is_whole() const { return missing == Message::Missing::nothing; }
  };

  void on(const RegSend& message, const Payload& payload);
  void on(const Monitor& message, const Payload& payload);
  void on(const Demonitor& message, const Payload& payload);
  void on(const Link& message, const Payload& payload);
  void on(const Unlink& message, const Payload& payload);
  void on(const ExitSignal& message, const Payload& payload);
  void on(const SpawnRequest& message, const Payload& payload);
  void on(const Ignored& message, const Payload& payload);
  void on(const Unknown& message, const Payload& payload);

  void on_unreadable_request(const RegSend& message, const Payload& payload);
  void on_net_kernel_request(const Asked& asked);
  void on_rex_request(const Asked& asked, const Payload& payload);

  bool full() const { return context_.owners.size() >= context_.max_calls; }
  CallId add(Call call);
  Call remove(CallId id);
  std::optional<Found> find(ByteView pid) const;
  Found find(CallId id) const;
  void forget_reference(ByteView reference, CallId id);

  Watcher watcher(ByteView pid, ByteView reference);
  bool watches(const Watcher& each) const { return each.session.lock().get() == this; }
  bool watch(const Found& found, ByteView pid, ByteView reference);
  bool unwatch(const Found& found, ByteView pid, ByteView reference);
  bool is_link(const Watcher& each, ByteView pid) const;
  bool unwatch_all(Call& call) const;
  void watched_call_ended(CallId id, const Watcher& watcher);
  void leave_calls_of_others();
  void leave_own_call(CallId id);
  void start(CallId id, Invocation invocation, const Payload& payload);
  CallReplier replier(CallId id);

  void finish(CallId id, RemoteReply reply);
  void end(CallId id, const TermParts& reason);
  RemoteReply checked(RemoteReply reply, std::size_t tag_bytes) const;
  void answer(Call call, RemoteReply reply);
  void notify(const Call& call, const TermParts& reason) const;
  void tell(ByteView ended, const Watcher& watcher, const TermParts& reason, ByteView token);
  bool has_room_for(const TermParts& reason) const;
  void send_down(ByteView from, ByteView to, ByteView reference, TermParts reason);
  void send_exit(ByteView from, ByteView to, TermParts reason, ByteView token = {});

  RemoteReply unreadable(const Payload& payload) const;
  std::optional<Invocation> read_spawn(const SpawnRequest& message, const Payload& payload) const;

  Peer peer_;
  NodeContext& context_;
  Outbox& outbox_;
  std::unordered_map<CallId, Call> calls_;
  std::unordered_map<std::string, CallId> by_reference_;  ///< the peer's, of calls and monitors
  /// Calls of other sessions that this peer watches, and how often.
  std::unordered_map<CallId, std::size_t> watched_elsewhere_;
  bool aborted_ = false;
};

}  // namespace ml_worker::distribution
