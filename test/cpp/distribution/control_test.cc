#include "distribution/control.h"

#include <catch2/catch.hpp>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "distribution/bytes.h"

namespace ml_worker::distribution {
namespace {

using test::atom;
using test::bytes;
using test::integer;
using test::list;
using test::operator+;
using test::tuple;
using test::versioned;

const Bytes kFrom = test::pid("t@host", 1);
const Bytes kTo = test::pid("worker1@host", 2);
const Bytes kRef = test::reference("t@host", 3);
const Bytes kToken = tuple({integer(0), integer(1)});

/// Keeps the bytes that the message views.
struct Parsed {
  explicit Parsed(const Bytes& term) : wire(versioned(term)) {
    ByteView input(wire);
    const auto scanned = terms::scan(input);
    REQUIRE(scanned);
    message = parse_control(*scanned);
  }
  Bytes wire;
  ControlMessage message = Unknown{0};
};

Bytes copy(ByteView view) { return {view.begin(), view.end()}; }

Bytes spawn_request(const Bytes& options) {
  return tuple({integer(29), kRef, kFrom, kFrom,
                tuple({atom("erpc"), atom("execute_call"), integer(4)}), options});
}

TEST_CASE("a spawn request") {
  const Parsed parsed(spawn_request(list({atom("monitor")})));
  const auto* message = std::get_if<SpawnRequest>(&parsed.message);
  REQUIRE(message);
  CHECK(copy(message->request_id) == kRef);
  CHECK(copy(message->from) == kFrom);
  CHECK(message->module == "erpc");
  CHECK(message->function == "execute_call");
  CHECK(message->arity == 4);
  CHECK(message->monitor);
  CHECK_FALSE(message->link);
}

TEST_CASE("options of a spawn request are atoms or tuples that start with one") {
  const Parsed tuples(spawn_request(
      list({tuple({atom("monitor"), list({})}), atom("link"), tuple({}), integer(3)})));
  const auto* message = std::get_if<SpawnRequest>(&tuples.message);
  REQUIRE(message);
  CHECK(message->monitor);
  CHECK(message->link);
  CHECK(std::holds_alternative<Unknown>(Parsed(spawn_request(atom("x"))).message));
}

TEST_CASE("exits with and without payload and token") {
  const Bytes why = atom("why");
  struct Case {
    Bytes term;
    bool exit2;
    bool inline_reason;
  };
  const std::vector<Case> cases = {
      {tuple({integer(3), kFrom, kTo, why}), false, true},
      {tuple({integer(13), kFrom, kTo, kToken, why}), false, true},
      {tuple({integer(24), kFrom, kTo}), false, false},
      {tuple({integer(25), kFrom, kTo, kToken}), false, false},
      {tuple({integer(8), kFrom, kTo, why}), true, true},
      {tuple({integer(18), kFrom, kTo, kToken, why}), true, true},
      {tuple({integer(26), kFrom, kTo}), true, false},
      {tuple({integer(27), kFrom, kTo, kToken}), true, false},
  };
  for (const Case& each : cases) {
    const Parsed parsed(each.term);
    const auto* message = std::get_if<ExitSignal>(&parsed.message);
    REQUIRE(message);
    CHECK(copy(message->to) == kTo);
    CHECK(message->sent_by_exit2 == each.exit2);
    REQUIRE(message->reason.has_value() == each.inline_reason);
    if (each.inline_reason) CHECK(copy(*message->reason) == why);
  }
}

TEST_CASE("monitors of names and of pids") {
  const Parsed name(tuple({integer(19), kFrom, atom("rex"), kRef}));
  const auto* of_name = std::get_if<Monitor>(&name.message);
  REQUIRE(of_name);
  CHECK(of_name->target_name == "rex");
  CHECK(copy(of_name->target) == atom("rex"));
  CHECK(copy(of_name->reference) == kRef);

  const Parsed process(tuple({integer(19), kFrom, kTo, kRef}));
  const auto* of_pid = std::get_if<Monitor>(&process.message);
  REQUIRE(of_pid);
  CHECK(of_pid->target_name.empty());

  const Parsed gone(tuple({integer(20), kFrom, kTo, kRef}));
  const auto* demonitor = std::get_if<Demonitor>(&gone.message);
  REQUIRE(demonitor);
  CHECK(copy(demonitor->reference) == kRef);
}

TEST_CASE("sends to names, links and unlinks") {
  const Parsed send(tuple({integer(16), kFrom, atom(""), atom("net_kernel"), kToken}));
  const auto* reg_send = std::get_if<RegSend>(&send.message);
  REQUIRE(reg_send);
  CHECK(reg_send->to_name == "net_kernel");
  CHECK(std::holds_alternative<Link>(Parsed(tuple({integer(1), kFrom, kTo})).message));
  const Parsed unlink(tuple({integer(35), integer(5), kFrom, kTo}));
  const auto* unlink_id = std::get_if<Unlink>(&unlink.message);
  REQUIRE(unlink_id);
  REQUIRE(unlink_id->id);
  CHECK(copy(*unlink_id->id) == integer(5));
  const Parsed old(tuple({integer(4), kFrom, kTo}));
  REQUIRE(std::holds_alternative<Unlink>(old.message));
  CHECK_FALSE(std::get<Unlink>(old.message).id);
}

TEST_CASE("the table has each operation of the protocol once") {
  std::set<std::int64_t> codes;
  for (const Operation& operation : operations()) codes.insert(operation.code);
  CHECK(codes.size() == operations().size());
  const std::set<std::int64_t> expected = {1,  2,  3,  4,  5,  6,  7,  8,  12, 13,
                                           16, 18, 19, 20, 21, 22, 23, 24, 25, 26,
                                           27, 28, 29, 30, 31, 32, 33, 34, 35, 36};
  CHECK(codes == expected);
}

TEST_CASE("each operation is known with its arity, and with another one is unknown") {
  for (const Operation& operation : operations()) {
    Bytes term;
    terms::Writer writer(term);
    writer.tuple(operation.arity + 1);
    writer.integer(operation.code);
    for (std::size_t i = 0; i < operation.arity; ++i) writer.atom("x");
    CHECK(std::holds_alternative<Unknown>(Parsed(term).message));
  }
  CHECK(std::holds_alternative<Ignored>(Parsed(tuple({integer(2), atom(""), kTo})).message));
  CHECK(std::holds_alternative<Ignored>(Parsed(tuple({integer(33), kFrom, kRef})).message));
}

TEST_CASE("whatever is not a control message is unknown") {
  for (const Bytes& term : {atom("x"), tuple({}), tuple({atom("x")}), tuple({integer(99), kFrom}),
                            tuple({integer(6), kFrom, atom(""), integer(1)}),
                            tuple({integer(29), kRef, kFrom, kFrom, atom("mfa"), list({})})}) {
    CHECK(std::holds_alternative<Unknown>(Parsed(term).message));
  }
}

TEST_CASE("where a pid or a reference belongs, nothing else is taken: what is kept stays small") {
  const Bytes other = atom("x");
  const Bytes mfa = tuple({atom("erpc"), atom("execute_call"), integer(4)});
  for (const Bytes& term : {
           tuple({integer(29), other, kFrom, kFrom, mfa, list({})}),
           tuple({integer(29), kRef, other, kFrom, mfa, list({})}),
           tuple({integer(19), other, kTo, kRef}),
           tuple({integer(19), kFrom, kTo, other}),
           tuple({integer(19), kFrom, kRef, kRef}),
           tuple({integer(20), other, kTo, kRef}),
           tuple({integer(20), kFrom, integer(1), kRef}),
           tuple({integer(20), kFrom, kTo, other}),
           tuple({integer(1), other, kTo}),
           tuple({integer(1), kFrom, other}),
           tuple({integer(4), other, kTo}),
           tuple({integer(4), kFrom, other}),
           tuple({integer(35), integer(5), other, kTo}),
           tuple({integer(35), integer(5), kFrom, other}),
           tuple({integer(6), other, atom(""), atom("rex")}),
       }) {
    CHECK(std::holds_alternative<Unknown>(Parsed(term).message));
  }
}

TEST_CASE("exits are from a pid to a pid") {
  for (const int code : {3, 8, 13, 18, 24, 25, 26, 27}) {
    const auto exit = [code](const Bytes& from, const Bytes& to) {
      const bool token = code == 13 || code == 18 || code == 25 || code == 27;
      Bytes term;
      terms::Writer out(term);
      out.tuple(std::size_t{3} + (token ? 1 : 0) + (code < 24 ? 1 : 0));
      out.integer(code);
      out.raw(from);
      out.raw(to);
      if (token) out.raw(kToken);
      if (code < 24) out.atom("why");
      return term;
    };
    CHECK(std::holds_alternative<ExitSignal>(Parsed(exit(kFrom, kTo)).message));
    CHECK(std::holds_alternative<Unknown>(Parsed(exit(atom("x"), kTo)).message));
    CHECK(std::holds_alternative<Unknown>(Parsed(exit(kFrom, kRef)).message));
  }
}

TEST_CASE("the id of an unlink is an integer of 64 bits") {
  const auto unlink = [](const Bytes& id) { return Parsed(tuple({integer(35), id, kFrom, kTo})); };
  const Bytes largest = bytes({110, 8, 0, 255, 255, 255, 255, 255, 255, 255, 255});
  for (const Bytes& id : {integer(1), integer(300), integer(std::int64_t{1} << 40), largest}) {
    const Parsed parsed = unlink(id);
    const auto* message = std::get_if<Unlink>(&parsed.message);
    REQUIRE(message);
    REQUIRE(message->id);
    CHECK(copy(*message->id) == id);
  }
  const Bytes longer = bytes({110, 9, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255});
  const Bytes much_longer = bytes({111, 0, 1, 0, 0, 0}) + Bytes(65536, 'x');
  Bytes binary;
  terms::Writer(binary).binary(std::string(100000, 'x'));
  for (const Bytes& id : {longer, much_longer, binary, atom("x"), kRef}) {
    CHECK(std::holds_alternative<Unknown>(unlink(id).message));
  }
}

Bytes wire(const OutMessage& message) { return test::wire(message); }

TEST_CASE("what is sent has the layout of the protocol") {
  const Bytes reason = atom("why");
  CHECK(wire(make_spawn_reply(kRef, kFrom, 2, kTo)) ==
        test::with_length(4, test::frame_body(tuple({integer(31), kRef, kFrom, integer(2), kTo}))));
  CHECK(wire(make_send(kFrom, {atom("h"), {}})) ==
        test::with_length(4, test::frame_body(tuple({integer(2), atom(""), kFrom}), atom("h"))));
  CHECK(wire(make_monitor_exit(true, kTo, kFrom, kRef, {{}, share(reason)})) ==
        test::with_length(4, test::frame_body(tuple({integer(28), kTo, kFrom, kRef}), reason)));
  CHECK(wire(make_monitor_exit(false, kTo, kFrom, kRef, {{}, share(reason)})) ==
        test::with_length(4, test::frame_body(tuple({integer(21), kTo, kFrom, kRef, reason}))));
  CHECK(wire(make_exit(true, kTo, kFrom, {reason, {}})) ==
        test::with_length(4, test::frame_body(tuple({integer(24), kTo, kFrom}), reason)));
  CHECK(wire(make_exit(false, kTo, kFrom, {reason, {}})) ==
        test::with_length(4, test::frame_body(tuple({integer(3), kTo, kFrom, reason}))));
  CHECK(wire(make_unlink_id_ack(integer(5), kTo, kFrom)) ==
        test::with_length(4, test::frame_body(tuple({integer(36), integer(5), kTo, kFrom}))));
}

/// As docs/PROTOCOL.md prints a row.
std::string row_of(const Operation& operation) {
  return "| " + std::to_string(operation.code) + " | " + operation.name + " | " +
         std::to_string(operation.arity) + " | " + (operation.token ? "token" : "") + " | " +
         (operation.payload ? "payload" : "") + " | " + operation.what_we_do + " |";
}

TEST_CASE("docs/PROTOCOL.md prints the table of operations as it is") {
  std::ifstream file(ML_WORKER_SOURCE_DIR "/docs/PROTOCOL.md");
  REQUIRE(file);
  std::vector<std::string> printed;
  bool in_table = false;
  for (std::string line; std::getline(file, line);) {
    const bool heading = line.rfind("| operation |", 0) == 0;
    if (in_table && line.empty()) break;
    if (in_table && line.rfind("|---", 0) != 0) printed.push_back(line);
    in_table = in_table || heading;
  }
  std::vector<std::string> ours;
  for (const Operation& operation : operations()) ours.push_back(row_of(operation));
  CHECK(printed == ours);
}

}  // namespace
}  // namespace ml_worker::distribution
