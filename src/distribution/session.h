// What a connected peer may ask for, and the table of its calls.
//
// Knows messages, not sockets: frames come in through on_frame(), answers go out through an Outbox.
// Everything here runs on the node's thread; replies from other threads are posted to it.
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
  std::size_t live_calls = 0;
  LogLimiter log_limiter{};
};

class Session : public std::enable_shared_from_this<Session> {
 public:
  /// `context` and `outbox` outlive the session's last use: abort() ends it.
  Session(Peer peer, NodeContext& context, Outbox& outbox);

  enum class Verdict { keep, close };
  /// `close`: what came cannot be trusted to be in step.
  Verdict on_message(Message message);

  /// The connection is gone: cancels whatever somebody waited for. Nothing is sent any more.
  void abort();

  std::size_t calls() const { return calls_.size(); }

 private:
  using CallId = std::uint64_t;  ///< the number of the call's pid

  /// Somebody who is told when a call ends.
  struct Watcher {
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
    Bytes reference;  ///< DEMONITOR_P names it; empty: none
    Bytes tag;        ///< echoed in the answer: erpc's ResRef, gen_call's Tag
    std::vector<Watcher> watchers;
    CancelCall cancel;
  };

  struct Invocation {
    Bytes tag;
    std::string module;
    std::string function;
    terms::ScannedTerm arguments;
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
  void on_net_kernel_request(ByteView from, terms::ScannedTerm tag, terms::ScannedTerm request);
  void on_rex_request(ByteView from, terms::ScannedTerm tag, terms::ScannedTerm request,
                      const Payload& payload);

  bool full() const { return context_.live_calls >= context_.max_calls; }
  CallId add(Call call);
  Call remove(CallId id);
  Call* find(ByteView pid);
  static bool unlink(Call& call, ByteView pid);
  void forget_reference(ByteView reference, CallId id);
  void start(CallId id, Invocation invocation, const Payload& payload);
  CallReplier replier(CallId id);

  void finish(CallId id, RemoteReply reply);
  void cancel(CallId id);
  RemoteReply checked(RemoteReply reply) const;
  void answer(Call call, RemoteReply reply);
  void notify(const Call& call, TermParts reason);
  void tell(const Call& call, const Watcher& watcher, TermParts reason);
  void send_down(ByteView from, ByteView to, ByteView reference, TermParts reason);
  void send_exit(ByteView from, ByteView to, TermParts reason);

  RemoteReply unreadable(const Payload& payload) const;
  std::optional<Invocation> read_spawn(const SpawnRequest& message, const Payload& payload) const;

  Peer peer_;
  NodeContext& context_;
  Outbox& outbox_;
  std::unordered_map<CallId, Call> calls_;
  std::unordered_map<std::string, CallId> by_reference_;
  bool aborted_ = false;
};

}  // namespace ml_worker::distribution
