#include "distribution/session.h"

#include <catch2/catch.hpp>
#include <deque>
#include <optional>

#include "distribution/bytes.h"

namespace ml_worker::distribution {
namespace {

using test::alias_tag;
using test::atom;
using test::frame_body;
using test::integer;
using test::list;
using test::operator+;
using test::tuple;

const Bytes kCaller = test::pid("t@host", 1);
const Bytes kRequest = test::reference("t@host", 3);
const Bytes kResult = test::reference("t@host", 4);
const Bytes kNormal = atom("normal");

/// Keeps what it is asked; answers when the test says so.
class Recorder : public CallHandler {
 public:
  struct Asked {
    std::string module;
    std::string function;
    Bytes arguments;
    CallReplier reply;
    bool cancelled = false;
  };

  CancelCall call(RemoteCall call, CallReplier reply) override {
    const ByteView arguments = call.arguments.bytes();
    asked.push_back({call.module, call.function, {arguments.begin(), arguments.end()}, reply});
    return [asked_call = &asked.back()] { asked_call->cancelled = true; };
  }

  std::deque<Asked> asked;
};

class RecordingOutbox : public Outbox {
 public:
  void send(OutMessage message) override {
    sent.push_back(test::wire(message));
    if (message.payload) tails.push_back(message.payload->tail);
  }
  std::size_t unsent_bytes() const override { return unsent; }

  std::vector<Bytes> sent;
  std::vector<SharedBytes> tails;  ///< of payloads
  std::size_t unsent = 0;
};

struct Fixture {
  Recorder handler;
  RecordingOutbox outbox;
  std::deque<std::function<void()>> posted;
  NodeContext context{"worker1@host",
                      OurPids("worker1@host", 9),
                      handler,
                      [this](std::function<void()> action) { posted.push_back(action); },
                      3,
                      std::size_t{1} << 20,
                      std::size_t{1} << 20,
                      std::size_t{1} << 21};
  std::shared_ptr<Session> session =
      std::make_shared<Session>(Peer{"t@host", flags::kOurs, 1}, context, outbox);

  Session::Verdict receive(const Bytes& body) {
    return session->on_message({body, 1, true, body.size(), Message::Missing::nothing});
  }
  Session::Verdict receive_cut(const Bytes& head, Message::Missing missing) {
    return session->on_message({head, 1, true, std::uint64_t{1} << 31U, missing});
  }
  void run_posted() {
    for (; !posted.empty(); posted.pop_front()) posted.front()();
  }
  Bytes our_pid(std::uint64_t id) const { return context.pids.term(id); }

  void reply(std::size_t call, RemoteReply::Kind kind, const Bytes& term, const Bytes& stack = {}) {
    handler.asked.at(call).reply({kind, term, stack});
    run_posted();
  }
  /// What was sent since the last time.
  std::vector<Bytes> take() { return std::exchange(outbox.sent, {}); }
};

Bytes framed(const Bytes& body) { return test::with_length(4, body); }

Bytes spawn(const Bytes& mfa, const Bytes& options, const Bytes& arguments) {
  return frame_body(tuple({integer(29), kRequest, kCaller, kCaller, mfa, options}), arguments);
}

Bytes execute_call(const std::string& module, const Bytes& arguments) {
  return spawn(tuple({atom("erpc"), atom("execute_call"), integer(4)}), list({atom("monitor")}),
               list({kResult, atom(module), atom("echo"), arguments}));
}

Bytes spawn_reply(int spawned, const Bytes& result) {
  return framed(frame_body(tuple({integer(31), kRequest, kCaller, integer(spawned), result})));
}

Bytes down(const Bytes& pid, const Bytes& reference, const Bytes& reason) {
  return framed(frame_body(tuple({integer(28), pid, kCaller, reference}), reason));
}

Bytes gen_call(const std::string& name, const Bytes& tag, const Bytes& request) {
  return frame_body(tuple({integer(6), kCaller, atom(""), atom(name)}),
                    tuple({atom("$gen_call"), tuple({kCaller, tag}), request}));
}

Bytes rex_call(const std::string& module, const Bytes& tag) {
  return gen_call(
      "rex", tag,
      tuple({atom("block_call"), atom(module), atom("echo"), list({integer(1)}), kCaller}));
}

Bytes message(const Bytes& term) {
  return framed(frame_body(tuple({integer(2), atom(""), kCaller}), term));
}

TEST_CASE("a call is answered at once with a pid, and by its DOWN") {
  Fixture f;
  CHECK(f.receive(execute_call("ml_worker", list({integer(1)}))) == Session::Verdict::keep);
  CHECK(f.take() == std::vector<Bytes>{spawn_reply(kSpawnedMonitored, f.our_pid(1))});
  REQUIRE(f.handler.asked.size() == 1);
  CHECK(f.handler.asked[0].function == "echo");
  CHECK(f.handler.asked[0].arguments == list({integer(1)}));

  f.reply(0, RemoteReply::Kind::returned, atom("value"));
  const Bytes reason = tuple({kResult, atom("return"), atom("value")});
  CHECK(f.take() == std::vector<Bytes>{down(f.our_pid(1), kRequest, reason)});
  CHECK(f.session->calls() == 0);
  CHECK(f.context.owners.empty());
}

TEST_CASE("without EXIT_PAYLOAD the reason is in the control message") {
  Fixture f;
  f.session =
      std::make_shared<Session>(Peer{"t@host", flags::kMandatory25, 1}, f.context, f.outbox);
  f.receive(execute_call("ml_worker", list({})));
  f.take();
  f.reply(0, RemoteReply::Kind::returned, atom("value"));
  const Bytes reason = tuple({kResult, atom("return"), atom("value")});
  CHECK(f.take() == std::vector<Bytes>{framed(frame_body(
                        tuple({integer(21), f.our_pid(1), kCaller, kRequest, reason})))});
}

TEST_CASE("an error raised travels with its stack") {
  Fixture f;
  f.receive(execute_call("ml_worker", list({})));
  f.take();
  f.reply(0, RemoteReply::Kind::raised, atom("boom"), list({atom("stack")}));
  const Bytes reason = tuple({kResult, atom("error"), atom("boom"), list({atom("stack")})});
  CHECK(f.take() == std::vector<Bytes>{down(f.our_pid(1), kRequest, reason)});
}

TEST_CASE("other modules are undef and never reach the handler") {
  Fixture f;
  f.receive(execute_call("erlang", list({integer(1)})));
  const Bytes stack = list({tuple({atom("erlang"), atom("echo"), list({integer(1)}), list({})})});
  const Bytes reason = tuple({kResult, atom("error"), atom("undef"), stack});
  CHECK(f.take() ==
        std::vector<Bytes>{spawn_reply(2, f.our_pid(1)), down(f.our_pid(1), kRequest, reason)});
  CHECK(f.handler.asked.empty());
}

TEST_CASE("undef repeats long arguments as their number") {
  Fixture f;
  Bytes binary;
  terms::Writer(binary).binary(std::string(2000, 'x'));
  f.receive(execute_call("erlang", list({binary, binary})));
  const Bytes stack = list({tuple({atom("erlang"), atom("echo"), integer(2), list({})})});
  const Bytes reason = tuple({kResult, atom("error"), atom("undef"), stack});
  CHECK(f.take().at(1) == down(f.our_pid(1), kRequest, reason));
}

TEST_CASE("arguments that are no list, or cannot be read, are an error and no more") {
  Fixture f;
  CHECK(f.receive(execute_call("ml_worker", atom("none"))) == Session::Verdict::keep);
  CHECK(f.take().size() == 2);
  // RECORD_EXT in place of the arguments: libei cannot read it.
  Bytes unreadable = execute_call("ml_worker", test::bytes({67, 1, 2, 3}));
  CHECK(f.receive(unreadable) == Session::Verdict::keep);
  const auto sent = f.take();
  REQUIRE(sent.size() == 2);
  // The caller's tag was found all the same, so that erpc understands the answer.
  const Bytes start = tuple({kResult, atom("error")});
  const std::string answer(sent[1].begin(), sent[1].end());
  CHECK(answer.find(std::string(kResult.begin(), kResult.end())) != std::string::npos);
  CHECK(answer.find("bad_argument") != std::string::npos);
  CHECK(f.handler.asked.empty());
  CHECK(f.context.owners.empty());
}

TEST_CASE("of a call over the frame cap the caller hears what was too large") {
  Fixture f;
  const Bytes body = execute_call("ml_worker", list({atom("rest_is_cut_away")}));
  const Bytes head(body.begin(), body.end() - 10);
  CHECK(f.receive_cut(head, Message::Missing::too_large) == Session::Verdict::keep);
  const auto sent = f.take();
  REQUIRE(sent.size() == 2);
  const std::string answer(sent[1].begin(), sent[1].end());
  CHECK(answer.find("too_large") != std::string::npos);
  CHECK(answer.find(std::string(kResult.begin(), kResult.end())) != std::string::npos);

  const Bytes rex = rex_call("ml_worker", alias_tag(kRequest));
  const Bytes rex_head(rex.begin(), rex.end() - 10);
  f.receive_cut(rex_head, Message::Missing::too_large);
  CHECK(f.take().size() == 1);
}

TEST_CASE("a caller that gives up cancels its call; a late reply is dropped") {
  Fixture f;
  f.receive(execute_call("ml_worker", list({})));
  f.take();
  f.receive(frame_body(tuple({integer(20), kCaller, f.our_pid(1), kRequest})));
  CHECK(f.handler.asked[0].cancelled);
  f.reply(0, RemoteReply::Kind::returned, atom("late"));
  CHECK(f.take().empty());
  CHECK(f.context.owners.empty());
}

TEST_CASE("a lost connection cancels calls that somebody waits for") {
  Fixture f;
  f.receive(execute_call("ml_worker", list({})));
  f.receive(spawn(tuple({atom("erpc"), atom("execute_cast"), integer(3)}), list({}),
                  list({atom("ml_worker"), atom("load"), list({})})));
  f.take();
  f.session->abort();
  CHECK(f.handler.asked[0].cancelled);
  CHECK_FALSE(f.handler.asked[1].cancelled);  // a cast goes on
  f.reply(0, RemoteReply::Kind::returned, atom("late"));
  CHECK(f.take().empty());
  CHECK(f.context.owners.empty());
}

TEST_CASE("a reply that comes when session and peer are gone is dropped") {
  Fixture f;
  f.receive(execute_call("ml_worker", list({})));
  f.session->abort();
  f.session.reset();
  f.reply(0, RemoteReply::Kind::returned, atom("late"));
  CHECK(f.take().size() == 1);  // the SPAWN_REPLY
}

TEST_CASE("a full table of calls refuses with system_limit") {
  Fixture f;
  for (int i = 0; i < 3; ++i) f.receive(execute_call("ml_worker", list({})));
  f.take();
  f.receive(execute_call("ml_worker", list({})));
  CHECK(f.take() == std::vector<Bytes>{spawn_reply(0, atom("system_limit"))});
  f.receive(rex_call("ml_worker", alias_tag(kRequest)));
  CHECK(f.take().size() == 1);
  f.reply(0, RemoteReply::Kind::returned, atom("value"));
  f.take();
  f.receive(execute_call("ml_worker", list({})));
  CHECK(f.handler.asked.size() == 4);
}

TEST_CASE("a reply that is too large, or has no room, becomes an error") {
  Fixture f;
  Bytes large;
  terms::Writer(large).binary(std::string(std::size_t{2} << 20, 'x'));
  f.receive(execute_call("ml_worker", list({})));
  f.take();
  f.reply(0, RemoteReply::Kind::returned, large);
  auto sent = f.take();
  REQUIRE(sent.size() == 1);
  CHECK(std::string(sent[0].begin(), sent[0].end()).find("too_large") != std::string::npos);

  f.outbox.unsent = std::size_t{1} << 21;
  f.receive(execute_call("ml_worker", list({})));
  f.take();
  f.reply(1, RemoteReply::Kind::returned, atom("small"));
  sent = f.take();
  REQUIRE(sent.size() == 1);
  CHECK(std::string(sent[0].begin(), sent[0].end()).find("overloaded") != std::string::npos);
}

TEST_CASE("casts and spawns of our module end as processes do") {
  Fixture f;
  const Bytes mfa = tuple({atom("ml_worker"), atom("echo"), integer(1)});
  f.receive(spawn(mfa, list({atom("monitor"), atom("link")}), list({integer(1)})));
  CHECK(f.take() == std::vector<Bytes>{spawn_reply(3, f.our_pid(1))});
  f.reply(0, RemoteReply::Kind::returned, atom("value"));
  CHECK(f.take() == std::vector<Bytes>{
                        down(f.our_pid(1), kRequest, kNormal),
                        framed(frame_body(tuple({integer(24), f.our_pid(1), kCaller}), kNormal))});

  f.receive(spawn(mfa, list({}), list({integer(1)})));
  CHECK(f.take() == std::vector<Bytes>{spawn_reply(0, f.our_pid(2))});
  f.reply(1, RemoteReply::Kind::raised, atom("boom"), list({}));
  CHECK(f.take().empty());
}

TEST_CASE("a ping is answered with its tag to the letter") {
  Fixture f;
  f.receive(gen_call("net_kernel", alias_tag(kRequest), tuple({atom("is_auth"), atom("t@host")})));
  CHECK(f.take() == std::vector<Bytes>{message(tuple({alias_tag(kRequest), atom("yes")}))});
}

TEST_CASE("rex calls, with their errors, and unknown modules") {
  Fixture f;
  f.receive(rex_call("ml_worker", alias_tag(kRequest)));
  CHECK(f.take().empty());
  f.reply(0, RemoteReply::Kind::returned, atom("value"));
  CHECK(f.take() == std::vector<Bytes>{message(tuple({alias_tag(kRequest), atom("value")}))});

  f.receive(rex_call("ml_worker", kRequest));
  f.reply(1, RemoteReply::Kind::raised, atom("boom"), list({}));
  const auto badrpc = [](const Bytes& reason, const Bytes& stack) {
    return tuple({atom("badrpc"), tuple({atom("EXIT"), tuple({reason, stack})})});
  };
  CHECK(f.take() == std::vector<Bytes>{message(tuple({kRequest, badrpc(atom("boom"), list({}))}))});

  f.receive(rex_call("erlang", kRequest));
  const Bytes stack = list({tuple({atom("erlang"), atom("echo"), list({integer(1)}), list({})})});
  CHECK(f.take() == std::vector<Bytes>{message(tuple({kRequest, badrpc(atom("undef"), stack)}))});
}

Bytes token(int serial, const Bytes& from, int previous) {
  return tuple({integer(1), atom("label"), integer(serial), from, integer(previous)});
}

TEST_CASE("what is asked with a trace token is answered with its successor") {
  Fixture f;
  const Bytes theirs = token(5, kCaller, 3);
  const auto request = [&](const std::string& name, const Bytes& asked) {
    f.receive(frame_body(tuple({integer(16), kCaller, atom(""), atom(name), theirs}),
                         tuple({atom("$gen_call"), tuple({kCaller, kRequest}), asked})));
  };
  const auto answer = [](const Bytes& ours, const Bytes& value) {
    return framed(
        frame_body(tuple({integer(12), atom(""), kCaller, ours}), tuple({kRequest, value})));
  };
  request("net_kernel", tuple({atom("is_auth"), atom("t@host")}));
  CHECK(f.take() == std::vector<Bytes>{answer(token(6, f.our_pid(1), 5), atom("yes"))});
  request("rex", tuple({atom("block_call"), atom("ml_worker"), atom("echo"), list({}), kCaller}));
  f.reply(0, RemoteReply::Kind::returned, atom("value"));
  CHECK(f.take() == std::vector<Bytes>{answer(token(6, f.our_pid(2), 5), atom("value"))});
}

TEST_CASE("a spawn with a trace token: its reply and its exit have one, its DOWN has none") {
  Fixture f;
  const Bytes mfa = tuple({atom("ml_worker"), atom("echo"), integer(0)});
  f.receive(frame_body(tuple({integer(30), kRequest, kCaller, kCaller, mfa,
                              list({atom("monitor"), atom("link")}), token(5, kCaller, 3)}),
                       list({})));
  CHECK(f.take() ==
        std::vector<Bytes>{framed(frame_body(tuple({integer(32), kRequest, kCaller, integer(3),
                                                    f.our_pid(1), token(6, f.our_pid(1), 5)})))});
  f.reply(0, RemoteReply::Kind::returned, atom("value"));
  CHECK(f.take() ==
        std::vector<Bytes>{
            down(f.our_pid(1), kRequest, kNormal),
            framed(frame_body(
                tuple({integer(25), f.our_pid(1), kCaller, token(7, f.our_pid(1), 6)}), kNormal))});
}

TEST_CASE("who asks net_kernel or rex and is no process is not answered") {
  Fixture f;
  const Bytes nobody = tuple(
      {atom("$gen_call"), tuple({atom("x"), kRequest}), tuple({atom("is_auth"), atom("t@host")})});
  for (const char* name : {"net_kernel", "rex"}) {
    CHECK(f.receive(frame_body(tuple({integer(6), kCaller, atom(""), atom(name)}), nobody)) ==
          Session::Verdict::keep);
    const Bytes cut(nobody.begin(), nobody.end() - 3);
    f.receive(frame_body(tuple({integer(6), kCaller, atom(""), atom(name)}), cut));
  }
  CHECK(f.take().empty());
  CHECK(f.session->calls() == 0);
}

TEST_CASE("a rex caller that gives up cancels its call") {
  Fixture f;
  f.receive(rex_call("ml_worker", alias_tag(kRequest)));
  f.receive(frame_body(tuple({integer(20), kCaller, atom("rex"), kRequest})));
  CHECK(f.handler.asked[0].cancelled);
}

TEST_CASE("monitors: served names are there, others and unknown pids are not") {
  Fixture f;
  const auto monitor = [&](const Bytes& target) {
    f.receive(frame_body(tuple({integer(19), kCaller, target, kResult})));
    return f.take();
  };
  CHECK(monitor(atom("rex")).empty());
  CHECK(monitor(atom("net_kernel")).empty());
  CHECK(monitor(atom("foo")) == std::vector<Bytes>{down(atom("foo"), kResult, atom("noproc"))});
  CHECK(monitor(f.our_pid(1)) == std::vector<Bytes>{down(f.our_pid(1), kResult, atom("noproc"))});

  const Bytes mfa = tuple({atom("ml_worker"), atom("echo"), integer(0)});
  f.receive(spawn(mfa, list({}), list({})));
  f.take();
  CHECK(monitor(f.our_pid(1)).empty());
  f.reply(0, RemoteReply::Kind::returned, atom("value"));
  CHECK(f.take() == std::vector<Bytes>{down(f.our_pid(1), kResult, kNormal)});
}

TEST_CASE("a monitor that is taken back leaves a process running") {
  Fixture f;
  const Bytes mfa = tuple({atom("ml_worker"), atom("echo"), integer(0)});
  f.receive(spawn(mfa, list({atom("monitor")}), list({})));
  f.take();
  f.receive(frame_body(tuple({integer(20), kCaller, f.our_pid(1), kRequest})));
  CHECK_FALSE(f.handler.asked[0].cancelled);
  f.reply(0, RemoteReply::Kind::returned, atom("value"));
  CHECK(f.take().empty());
}

TEST_CASE("links: unknown pids exit with noproc, unlinked callers hear nothing") {
  Fixture f;
  const Bytes stranger = f.our_pid(99);
  f.receive(frame_body(tuple({integer(1), kCaller, stranger})));
  CHECK(f.take() == std::vector<Bytes>{framed(
                        frame_body(tuple({integer(24), stranger, kCaller}), atom("noproc")))});
  const Bytes mfa = tuple({atom("ml_worker"), atom("echo"), integer(0)});
  f.receive(spawn(mfa, list({atom("link")}), list({})));
  f.take();
  f.receive(frame_body(tuple({integer(35), integer(5), kCaller, f.our_pid(1)})));
  CHECK(f.take() == std::vector<Bytes>{framed(
                        frame_body(tuple({integer(36), integer(5), f.our_pid(1), kCaller})))});
  f.reply(0, RemoteReply::Kind::returned, atom("value"));
  CHECK(f.take().empty());
}

/// Another node, u@host, that is connected to the same worker.
struct Neighbour {
  explicit Neighbour(Fixture& fixture)
      : f(fixture),
        session(std::make_shared<Session>(Peer{"u@host", flags::kOurs, 1}, f.context, outbox)) {}

  void receive(const Bytes& control) { session->on_message(whole(frame_body(control))); }
  void receive(const Bytes& control, const Bytes& payload) {
    session->on_message(whole(frame_body(control, payload)));
  }
  static Message whole(const Bytes& body) {
    return {body, 1, true, body.size(), Message::Missing::nothing};
  }
  void monitor(std::uint64_t call, const Bytes& reference) {
    receive(tuple({integer(19), pid, f.our_pid(call), reference}));
  }
  void link(std::uint64_t call) { receive(tuple({integer(1), pid, f.our_pid(call)})); }
  std::vector<Bytes> take() { return std::exchange(outbox.sent, {}); }

  Bytes down(std::uint64_t call, const Bytes& reference, const Bytes& reason) const {
    return framed(frame_body(tuple({integer(28), f.our_pid(call), pid, reference}), reason));
  }
  Bytes exit(std::uint64_t call, const Bytes& reason) const {
    return framed(frame_body(tuple({integer(24), f.our_pid(call), pid}), reason));
  }

  Fixture& f;
  RecordingOutbox outbox;
  std::shared_ptr<Session> session;
  const Bytes pid = test::pid("u@host", 1);
  const Bytes own_reference = test::reference("u@host", 5);
};

const Bytes kProcess = tuple({atom("ml_worker"), atom("echo"), integer(0)});

TEST_CASE("a call of one node is monitored and linked by another") {
  Fixture f;
  Neighbour neighbour(f);
  f.receive(spawn(kProcess, list({}), list({})));
  neighbour.monitor(1, neighbour.own_reference);
  neighbour.link(1);
  neighbour.link(1);  // once more is once
  CHECK(neighbour.take().empty());
  f.take();
  f.reply(0, RemoteReply::Kind::returned, atom("value"));
  CHECK(neighbour.take() == std::vector<Bytes>{neighbour.down(1, neighbour.own_reference, kNormal),
                                               neighbour.exit(1, kNormal)});
  CHECK(f.take().empty());
  neighbour.monitor(1, neighbour.own_reference);
  CHECK(neighbour.take() ==
        std::vector<Bytes>{neighbour.down(1, neighbour.own_reference, atom("noproc"))});
  CHECK(f.context.owners.empty());
}

TEST_CASE("another node takes its monitor and its link back, and the owner's stay") {
  Fixture f;
  Neighbour neighbour(f);
  f.receive(spawn(kProcess, list({atom("monitor"), atom("link")}), list({})));
  neighbour.monitor(1, kRequest);  // the number of a reference is its node's
  neighbour.link(1);
  neighbour.receive(tuple({integer(20), neighbour.pid, f.our_pid(1), kRequest}));
  neighbour.receive(tuple({integer(35), integer(5), neighbour.pid, f.our_pid(1)}));
  CHECK(neighbour.take() == std::vector<Bytes>{framed(frame_body(
                                tuple({integer(36), integer(5), f.our_pid(1), neighbour.pid})))});
  CHECK_FALSE(f.handler.asked[0].cancelled);
  f.take();
  f.reply(0, RemoteReply::Kind::returned, atom("value"));
  CHECK(f.take().size() == 2);
  CHECK(neighbour.take().empty());
}

TEST_CASE("another node's exit signals end a call, and its owner hears of it") {
  Fixture f;
  Neighbour neighbour(f);
  f.receive(execute_call("ml_worker", list({})));
  f.take();
  neighbour.receive(tuple({integer(26), neighbour.pid, f.our_pid(1)}), kNormal);
  neighbour.receive(tuple({integer(24), neighbour.pid, f.our_pid(1)}), atom("no_such_link"));
  CHECK_FALSE(f.handler.asked[0].cancelled);
  neighbour.receive(tuple({integer(8), neighbour.pid, f.our_pid(1), atom("kill")}));
  CHECK(f.handler.asked[0].cancelled);
  CHECK(f.take() == std::vector<Bytes>{down(f.our_pid(1), kRequest, atom("killed"))});

  f.receive(execute_call("ml_worker", list({})));
  f.take();
  neighbour.link(2);
  neighbour.receive(tuple({integer(3), neighbour.pid, f.our_pid(2), atom("boom")}));
  CHECK(f.handler.asked[1].cancelled);
  CHECK(f.take() == std::vector<Bytes>{down(f.our_pid(2), kRequest, atom("boom"))});
  CHECK(neighbour.take().empty());
}

TEST_CASE("of a lost connection the monitors are forgotten, and the links break") {
  Fixture f;
  Neighbour neighbour(f);
  f.receive(execute_call("ml_worker", list({})));
  f.receive(execute_call("ml_worker", list({})));
  f.take();
  neighbour.monitor(1, neighbour.own_reference);
  neighbour.link(2);
  neighbour.session->abort();
  CHECK_FALSE(f.handler.asked[0].cancelled);
  CHECK(f.handler.asked[1].cancelled);
  CHECK(f.take() == std::vector<Bytes>{down(f.our_pid(2), kRequest, atom("noconnection"))});
  neighbour.session.reset();
  f.reply(0, RemoteReply::Kind::returned, atom("value"));
  CHECK(f.take().size() == 1);
  CHECK(neighbour.take().empty());
  CHECK(f.context.owners.empty());
}

TEST_CASE("who watches a call of a lost connection is told how it ends") {
  Fixture f;
  Neighbour neighbour(f);
  const auto reference = [](std::uint32_t id) { return test::reference("u@host", id); };
  f.receive(execute_call("ml_worker", list({})));
  f.receive(spawn(kProcess, list({atom("link")}), list({})));
  f.receive(spawn(kProcess, list({}), list({})));
  for (const int call : {1, 2, 3}) neighbour.monitor(call, reference(call));
  f.session->abort();
  CHECK(f.handler.asked[0].cancelled);
  CHECK(f.handler.asked[1].cancelled);
  CHECK_FALSE(f.handler.asked[2].cancelled);  // a process, which nobody's end ends
  const std::vector<Bytes> sent = neighbour.take();
  CHECK(std::ranges::is_permutation(
      sent, std::vector<Bytes>{neighbour.down(1, reference(1), atom("killed")),
                               neighbour.down(2, reference(2), atom("noconnection"))}));
  f.session.reset();
  neighbour.link(3);
  f.reply(2, RemoteReply::Kind::returned, atom("value"));
  CHECK(neighbour.take() ==
        std::vector<Bytes>{neighbour.down(3, reference(3), kNormal), neighbour.exit(3, kNormal)});
  CHECK(f.context.owners.empty());
}

TEST_CASE("a call has 64 watchers, whosever they are") {
  Fixture f;
  Neighbour neighbour(f);
  f.receive(spawn(kProcess, list({}), list({})));
  f.take();
  for (std::uint32_t i = 0; i < 32; ++i) {
    f.receive(
        frame_body(tuple({integer(19), kCaller, f.our_pid(1), test::reference("t@host", i)})));
    neighbour.monitor(1, test::reference("u@host", i));
  }
  CHECK(neighbour.take().empty());
  CHECK(f.take().empty());
  neighbour.link(1);
  CHECK(neighbour.take() == std::vector<Bytes>{neighbour.exit(1, atom("noproc"))});
  neighbour.session->abort();
  f.receive(frame_body(tuple({integer(1), kCaller, f.our_pid(1)})));
  CHECK(f.take().empty());  // there is room again
  f.reply(0, RemoteReply::Kind::returned, atom("value"));
  CHECK(f.take().size() == 33);
}

TEST_CASE("the reason of a call's end is not copied for each who watches it") {
  Fixture f;
  f.receive(spawn(kProcess, list({}), list({})));
  constexpr std::uint32_t kWatchers = 64;
  for (std::uint32_t i = 0; i < kWatchers; ++i) {
    f.receive(frame_body(
        tuple({integer(19), kCaller, f.our_pid(1), test::reference("t@host", 100 + i)})));
  }
  Bytes reason;
  terms::Writer(reason).binary(std::string(100000, 'x'));
  f.receive(frame_body(tuple({integer(26), kCaller, f.our_pid(1)}), reason));
  REQUIRE(f.outbox.tails.size() == kWatchers);
  CHECK(*f.outbox.tails.front() == reason);
  for (const SharedBytes& tail : f.outbox.tails) CHECK(tail == f.outbox.tails.front());
}

TEST_CASE("a tag counts for what waits to be sent, as the reply does with which it goes") {
  Fixture f;
  Bytes tag;
  terms::Writer(tag).binary(std::string(100000, 'x'));
  f.receive(rex_call("ml_worker", tag));
  f.outbox.unsent = f.context.max_unsent_bytes - tag.size();
  f.reply(0, RemoteReply::Kind::returned, atom("value"));
  const auto sent = f.take();
  REQUIRE(sent.size() == 1);
  CHECK(std::string(sent[0].begin(), sent[0].end()).find("overloaded") != std::string::npos);
}

TEST_CASE("a long reason that has no room at a watcher becomes a short one there") {
  Fixture f;
  Neighbour neighbour(f);
  Bytes large;
  terms::Writer(large).binary(std::string(100000, 'x'));
  f.receive(execute_call("ml_worker", list({})));
  neighbour.monitor(1, neighbour.own_reference);
  f.take();
  neighbour.outbox.unsent = std::size_t{1} << 21;
  f.receive(frame_body(tuple({integer(8), kCaller, f.our_pid(1), large})));
  CHECK(f.take() == std::vector<Bytes>{down(f.our_pid(1), kRequest, large)});
  const auto sent = neighbour.take();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].size() < 200);
  CHECK(std::string(sent[0].begin(), sent[0].end()).find("overloaded") != std::string::npos);
}

/// An atom in each way that a peer may write it.
std::vector<Bytes> spellings(const std::string& name) {
  const int length = static_cast<int>(name.size());
  std::vector<Bytes> out;
  for (const Bytes& header : {test::bytes({119, length}), test::bytes({115, length}),
                              test::bytes({118, 0, length}), test::bytes({100, 0, length})}) {
    out.push_back(header + test::text(name));
  }
  return out;
}

TEST_CASE("exit signals end a call, but for normal ones") {
  for (const Bytes& normal : spellings("normal")) {
    for (const Bytes& kill : spellings("kill")) {
      Fixture f;
      f.receive(execute_call("ml_worker", list({})));
      f.take();
      f.receive(frame_body(tuple({integer(26), kCaller, f.our_pid(1)}), normal));
      f.receive(frame_body(tuple({integer(8), kCaller, f.our_pid(1), normal})));
      CHECK_FALSE(f.handler.asked[0].cancelled);
      f.receive(frame_body(tuple({integer(26), kCaller, f.our_pid(1)}), kill));
      CHECK(f.handler.asked[0].cancelled);
      CHECK(f.take() == std::vector<Bytes>{down(f.our_pid(1), kRequest, atom("killed"))});
    }
  }
}

TEST_CASE("an exit along a link ends a call that has this link, and no other") {
  const Bytes linked = test::pid("t@host", 2);
  for (const bool in_payload : {false, true}) {
    Fixture f;
    const auto exit = [&](const Bytes& from, const Bytes& reason) {
      f.receive(in_payload ? frame_body(tuple({integer(24), from, f.our_pid(1)}), reason)
                           : frame_body(tuple({integer(3), from, f.our_pid(1), reason})));
    };
    f.receive(execute_call("ml_worker", list({})));
    f.receive(frame_body(tuple({integer(1), linked, f.our_pid(1)})));
    f.take();
    exit(kCaller, atom("boom"));
    CHECK_FALSE(f.handler.asked[0].cancelled);
    exit(linked, kNormal);
    exit(linked, atom("boom"));  // the link has gone with the first
    CHECK_FALSE(f.handler.asked[0].cancelled);
    CHECK(f.take().empty());
    f.receive(frame_body(tuple({integer(1), linked, f.our_pid(1)})));
    exit(linked, atom("kill"));
    CHECK(f.handler.asked[0].cancelled);
    // Only exit/2 kills; and who has sent it is linked no more.
    CHECK(f.take() == std::vector<Bytes>{down(f.our_pid(1), kRequest, atom("kill"))});
  }
}

TEST_CASE("what is no id is not echoed") {
  Fixture f;
  Bytes large;
  terms::Writer(large).binary(std::string(100000, 'x'));
  for (const Bytes& control : {
           tuple({integer(35), large, kCaller, f.our_pid(1)}),
           tuple({integer(35), integer(5), large, f.our_pid(1)}),
           tuple({integer(35), integer(5), kCaller, large}),
           tuple({integer(1), kCaller, large}),
           tuple({integer(19), kCaller, large, kResult}),
       }) {
    CHECK(f.receive(frame_body(control)) == Session::Verdict::keep);
  }
  CHECK(f.take().empty());
}

TEST_CASE("unknown and ignored messages cost nothing") {
  Fixture f;
  for (const Bytes& control :
       {tuple({integer(99), kCaller}), atom("x"), tuple({integer(2), atom(""), kCaller}),
        tuple({integer(31), kRequest, kCaller, integer(0), kCaller}),
        tuple({integer(6), kCaller, atom(""), atom("foo")}),
        tuple({integer(6), kCaller, atom(""), atom("net_kernel")})}) {
    CHECK(f.receive(frame_body(control)) == Session::Verdict::keep);
    CHECK(f.receive(frame_body(control, atom("hi"))) == Session::Verdict::keep);
  }
  CHECK(f.take().empty());
}

TEST_CASE("a frame whose control term cannot be read closes the connection") {
  const Bytes whole = execute_call("ml_worker", list({}));
  const std::size_t control_end =
      whole.size() - 1 - list({kResult, atom("ml_worker"), atom("echo"), list({})}).size();
  for (std::size_t size = 1; size < control_end; ++size) {
    Fixture f;
    CHECK(f.receive(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size))) ==
          Session::Verdict::close);
  }
  Fixture f;
  Bytes bomb = test::bytes({'p', 131});
  for (int i = 0; i < 1000000; ++i) put_bytes(bomb, test::bytes({104, 1}));
  CHECK(f.receive(bomb) == Session::Verdict::close);
}

TEST_CASE("a payload cut anywhere is answered, and the connection kept") {
  const Bytes whole = execute_call("ml_worker", list({integer(1)}));
  const std::size_t payload =
      list({kResult, atom("ml_worker"), atom("echo"), list({integer(1)})}).size();
  for (std::size_t missing = 1; missing <= payload + 1; ++missing) {
    Fixture f;
    const auto end = whole.end() - static_cast<std::ptrdiff_t>(missing);
    CHECK(f.receive(Bytes(whole.begin(), end)) == Session::Verdict::keep);
    CHECK(f.take().size() == 2);
    CHECK(f.handler.asked.empty());
  }
}

}  // namespace
}  // namespace ml_worker::distribution
