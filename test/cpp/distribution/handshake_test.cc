#include "distribution/handshake.h"

#include <catch2/catch.hpp>

#include "distribution/bytes.h"

namespace ml_worker::distribution {
namespace {

using test::bytes;
using test::from_hex;
using test::operator+;
using test::text;

// md5("secret12345"), … as Python's hashlib has them.
constexpr const char* kSecret12345 = "d4047d3e56e6d6d63f7d16b85cd2fa88";
constexpr const char* kSecret0 = "175ec77a7f63082590987d0d8b051aff";
constexpr const char* kMonsterMax = "9dffd90a48c46a8277429bfdefc02ebe";

constexpr std::uint32_t kOurChallenge = 12345;

Digest digest_from_hex(const char* hex) {
  Digest digest{};
  const Bytes raw = from_hex(hex);
  std::copy(raw.begin(), raw.end(), digest.begin());
  return digest;
}

const auto kNotConnected = [] { return false; };
const auto kNotOurs = [](std::uint32_t) { return false; };

LocalNode local() { return {"worker1@127.0.0.1", "secret", 99}; }

Acceptor acceptor(KnownAs known = KnownAs::unknown) {
  return {local(), [known](const std::string&) { return known; }, [] { return kOurChallenge; }};
}

Bytes name_v6(const std::string& name, std::uint64_t set = flags::kOurs) {
  return encode(NameMessage{6, set, 7, name});
}

ChallengeReply good_reply() { return {0, digest_from_hex(kSecret12345)}; }

TEST_CASE("digests are MD5 of cookie and decimal challenge") {
  CHECK(challenge_digest("secret", 12345) == digest_from_hex(kSecret12345));
  CHECK(challenge_digest("secret", 0) == digest_from_hex(kSecret0));
  CHECK(challenge_digest("monster", 4294967295U) == digest_from_hex(kMonsterMax));
  CHECK(equal_in_constant_time(digest_from_hex(kSecret0), digest_from_hex(kSecret0)));
  CHECK_FALSE(equal_in_constant_time(digest_from_hex(kSecret0), digest_from_hex(kSecret12345)));
}

TEST_CASE("challenges differ") {
  CHECK_FALSE((random_u32() == random_u32() && random_u32() == random_u32()));
}

TEST_CASE("we advertise the flags of the reference") {
  CHECK(flags::kOurs == 0x507c74fbcU);
  CHECK((flags::kOurs & 0x1U) == 0);     // PUBLISHED: the node stays hidden
  CHECK((flags::kOurs & 0x2000U) == 0);  // DIST_HDR_ATOM_CACHE
}

TEST_CASE("messages have the layout of the protocol") {
  CHECK(encode(NameMessage{6, 0x0102030405060708, 0x0a0b0c0d, "a@b"}) ==
        bytes({'N', 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 0, 3}) + text("a@b"));
  CHECK(encode(NameMessage{5, 0x01020304, 0, "a@b"}) ==
        bytes({'n', 0, 5, 1, 2, 3, 4}) + text("a@b"));
  CHECK(encode(StatusMessage{"ok"}) == text("sok"));
  CHECK(encode(ChallengeMessage{1, 2, 3, "a@b"}) ==
        bytes({'N', 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 3}) + text("a@b"));
  CHECK(encode(ComplementMessage{1, 2}) == bytes({'c', 0, 0, 0, 1, 0, 0, 0, 2}));
  CHECK(encode(ChallengeReply{5, digest_from_hex(kSecret0)}) ==
        bytes({'r', 0, 0, 0, 5}) + from_hex(kSecret0));
  CHECK(encode(ChallengeAck{digest_from_hex(kSecret0)}) == text("a") + from_hex(kSecret0));
}

template <typename Parse>
void check_truncations(const Bytes& message, Parse parse) {
  REQUIRE(parse(message));
  for (std::size_t size = 0; size < message.size(); ++size) {
    CHECK_FALSE(parse(ByteView(message).first(size)));
  }
  CHECK_FALSE(parse(message + bytes({0})));
}

TEST_CASE("a message cut or prolonged anywhere is none") {
  check_truncations(name_v6("a@b"), parse_name);
  check_truncations(encode(ChallengeMessage{1, 2, 3, "a@b"}), parse_challenge);
  check_truncations(encode(ComplementMessage{1, 2}), parse_complement);
  check_truncations(encode(good_reply()), parse_challenge_reply);
  check_truncations(encode(ChallengeAck{}), parse_challenge_ack);
}

TEST_CASE("an acceptor takes a peer that knows the cookie") {
  Acceptor machine = acceptor();
  const HandshakeStep named = machine.on_message(name_v6("t@host"));
  REQUIRE(named.send.size() == 2);
  CHECK(named.send[0] == text("sok"));
  const auto challenge = parse_challenge(named.send[1]);
  REQUIRE(challenge);
  CHECK(challenge->flags == flags::kOurs);
  CHECK(challenge->challenge == kOurChallenge);
  CHECK(challenge->creation == 99);
  CHECK(challenge->name == "worker1@127.0.0.1");
  CHECK_FALSE(named.established);

  const HandshakeStep proved = machine.on_message(encode(good_reply()));
  REQUIRE(proved.established);
  CHECK(proved.established->name == "t@host");
  CHECK(proved.established->creation == 7);
  CHECK(proved.established->flags == flags::kOurs);
  REQUIRE(proved.send.size() == 1);
  CHECK(proved.send[0] == text("a") + from_hex(kSecret0));
}

TEST_CASE("flags in force are those of both sides") {
  Acceptor machine = acceptor();
  machine.on_message(name_v6("t@host", flags::kMandatory25 | flags::kSpawn | 0x1));
  const HandshakeStep proved = machine.on_message(encode(good_reply()));
  REQUIRE(proved.established);
  CHECK(proved.established->flags == (flags::kMandatory25 | flags::kSpawn));
}

TEST_CASE("the digest bit stands for all that OTP 25 demands") {
  Acceptor machine = acceptor();
  const HandshakeStep named = machine.on_message(name_v6("t@host", flags::kMandatory25Digest));
  CHECK(named.failure.empty());
}

TEST_CASE("a peer without the mandatory flags is not allowed") {
  Acceptor machine = acceptor();
  const HandshakeStep named =
      machine.on_message(name_v6("t@host", flags::kMandatory25 & ~flags::kMapTag));
  CHECK(named.send == std::vector<Bytes>{text("snot_allowed")});
  CHECK_FALSE(named.failure.empty());
}

TEST_CASE("a wrong cookie is not acknowledged") {
  Acceptor machine = acceptor();
  machine.on_message(name_v6("t@host"));
  const HandshakeStep step = machine.on_message(encode(ChallengeReply{0, {}}));
  CHECK(step.send.empty());
  CHECK_FALSE(step.established);
  CHECK(step.failure == "wrong cookie");
}

TEST_CASE("names that are none are refused") {
  for (const std::string name : {"", "t", "@host", "t@", "t@h@x", "t @h", "t\x01@h", "t\xff@h"}) {
    Acceptor machine = acceptor();
    CHECK_FALSE(machine.on_message(name_v6(name)).failure.empty());
  }
  Acceptor machine = acceptor();
  CHECK_FALSE(machine.on_message(name_v6("worker1@127.0.0.1")).failure.empty());
}

TEST_CASE("messages in the wrong order end the handshake") {
  const Bytes reply = encode(good_reply());
  Acceptor early = acceptor();
  CHECK_FALSE(early.on_message(reply).failure.empty());
  Acceptor twice = acceptor();
  twice.on_message(name_v6("t@host"));
  CHECK_FALSE(twice.on_message(name_v6("t@host")).failure.empty());
  // The first failure is final: a right answer afterwards does not help.
  CHECK_FALSE(twice.on_message(reply).failure.empty());
}

TEST_CASE("a connected node is asked whether the old connection is dead") {
  Acceptor machine = acceptor(KnownAs::connected);
  CHECK(machine.on_message(name_v6("t@host")).send == std::vector<Bytes>{text("salive")});
  const HandshakeStep step = machine.on_message(text("strue"));
  REQUIRE(step.send.size() == 1);
  CHECK(parse_challenge(step.send[0]));
  CHECK(machine.on_message(encode(good_reply())).established);

  Acceptor kept = acceptor(KnownAs::connected);
  kept.on_message(name_v6("t@host"));
  CHECK_FALSE(kept.on_message(text("sfalse")).failure.empty());
}

TEST_CASE("when both sides dial, the greater name's attempt goes on") {
  Acceptor smaller_peer = acceptor(KnownAs::being_dialled);
  const HandshakeStep refused = smaller_peer.on_message(name_v6("a@host"));
  CHECK(refused.send == std::vector<Bytes>{text("snok")});
  CHECK_FALSE(refused.failure.empty());
  Acceptor greater_peer = acceptor(KnownAs::being_dialled);
  const HandshakeStep taken = greater_peer.on_message(name_v6("z@host"));
  REQUIRE(taken.send.size() == 2);
  CHECK(taken.send[0] == text("sok_simultaneous"));
}

TEST_CASE("one too many hears nothing of us, whether it has a name or asks for one") {
  for (const Bytes& name : {name_v6("t@host"), name_v6("host", flags::kOurs | flags::kNameMe)}) {
    Acceptor machine = acceptor(KnownAs::one_too_many);
    const HandshakeStep step = machine.on_message(name);
    CHECK(step.send.empty());
    CHECK_FALSE(step.failure.empty());
  }
}

TEST_CASE("an 'n' of version 5 is completed by a complement") {
  Acceptor machine = acceptor();
  const std::uint32_t low = static_cast<std::uint32_t>(flags::kOurs);
  CHECK(machine.on_message(encode(NameMessage{5, low, 0, "t@host"})).send.size() == 2);
  const std::uint32_t high = static_cast<std::uint32_t>(flags::kOurs >> 32U);
  CHECK(machine.on_message(encode(ComplementMessage{high, 5})).failure.empty());
  const HandshakeStep proved = machine.on_message(encode(good_reply()));
  REQUIRE(proved.established);
  CHECK(proved.established->flags == flags::kOurs);
  CHECK(proved.established->creation == 5);
}

TEST_CASE("a node with a dynamic name gets one") {
  Acceptor machine = acceptor();
  const HandshakeStep named = machine.on_message(name_v6("host", flags::kOurs | flags::kNameMe));
  REQUIRE(named.send.size() == 2);
  const auto status = parse_status(named.send[0]);
  REQUIRE(status);
  CHECK(status->status.substr(0, 6) == "named:");
  const auto challenge = parse_challenge(named.send[1]);
  REQUIRE(challenge);
  CHECK((challenge->flags & flags::kNameMe) != 0);
  const HandshakeStep proved = machine.on_message(encode(good_reply()));
  REQUIRE(proved.established);
  CHECK(status->status.find(proved.established->name) == 8);
}

TEST_CASE("an initiator and an acceptor understand each other") {
  Initiator dialling({"z@host", "secret", 3}, "worker1@127.0.0.1", kNotConnected, kNotOurs,
                     [] { return 777U; });
  Acceptor dialled = acceptor();
  const HandshakeStep hello = dialling.start();
  REQUIRE(hello.send.size() == 1);
  const HandshakeStep challenge = dialled.on_message(hello.send[0]);
  REQUIRE(challenge.send.size() == 2);
  CHECK(dialling.on_message(challenge.send[0]).failure.empty());
  const HandshakeStep reply = dialling.on_message(challenge.send[1]);
  REQUIRE(reply.send.size() == 1);
  const HandshakeStep ack = dialled.on_message(reply.send[0]);
  REQUIRE(ack.established);
  const HandshakeStep done = dialling.on_message(ack.send[0]);
  REQUIRE(done.established);
  CHECK(done.established->name == "worker1@127.0.0.1");
  CHECK(done.established->creation == 99);
}

TEST_CASE("an initiator demands the node that it dialled, and its proof") {
  Initiator dialling({"z@host", "secret", 3}, "other@host", kNotConnected, kNotOurs,
                     [] { return 777U; });
  dialling.on_message(text("sok"));
  const ChallengeMessage foreign{flags::kOurs, 1, 2, "worker1@127.0.0.1"};
  CHECK_FALSE(dialling.on_message(encode(foreign)).failure.empty());

  Initiator unproved({"z@host", "secret", 3}, "a@b", kNotConnected, kNotOurs, [] { return 777U; });
  unproved.on_message(text("sok"));
  unproved.on_message(encode(ChallengeMessage{flags::kOurs, 1, 2, "a@b"}));
  CHECK(unproved.on_message(encode(ChallengeAck{})).failure == "wrong cookie");

  for (const char* status : {"snok", "snot_allowed", "s", "sconfused"}) {
    Initiator refused({"z@host", "secret", 3}, "a@b", kNotConnected, kNotOurs);
    CHECK_FALSE(refused.on_message(text(status)).failure.empty());
  }
  Initiator alive({"z@host", "secret", 3}, "a@b", kNotConnected, kNotOurs);
  CHECK(alive.on_message(text("salive")).send == std::vector<Bytes>{text("strue")});
}

TEST_CASE("an initiator whose peer has dialled it meanwhile does not take that for dead") {
  Initiator late(
      {"z@host", "secret", 3}, "a@b", [] { return true; }, kNotOurs);
  const HandshakeStep step = late.on_message(text("salive"));
  CHECK(step.send == std::vector<Bytes>{text("sfalse")});
  CHECK_FALSE(step.failure.empty());
}

TEST_CASE("a challenge is outstanding from when it is sent until it is answered") {
  Acceptor dialled = acceptor();
  CHECK_FALSE(dialled.outstanding_challenge());
  dialled.on_message(name_v6("t@host"));
  CHECK(dialled.outstanding_challenge() == kOurChallenge);
  dialled.on_message(encode(good_reply()));
  CHECK_FALSE(dialled.outstanding_challenge());

  Acceptor old = acceptor();
  old.on_message(encode(NameMessage{5, flags::kOurs & 0xffffffffU, 0, "t@host"}));
  CHECK(old.outstanding_challenge() == kOurChallenge);

  Initiator dialling({"z@host", "secret", 3}, "a@b", kNotConnected, kNotOurs, [] { return 777U; });
  dialling.on_message(text("sok"));
  CHECK_FALSE(dialling.outstanding_challenge());
  dialling.on_message(encode(ChallengeMessage{flags::kOurs, 1, 2, "a@b"}));
  CHECK(dialling.outstanding_challenge() == 777U);
}

TEST_CASE("whoever passes a challenge of ours on to us gets no answer to it") {
  Acceptor dialled = acceptor();
  dialled.on_message(name_v6("evil@host"));
  Initiator dialling(local(), "front@host", kNotConnected, [&](std::uint32_t challenge) {
    return dialled.outstanding_challenge() == challenge;
  });
  dialling.on_message(text("sok"));
  const ChallengeMessage reflected{flags::kOurs, kOurChallenge, 2, "front@host"};
  const HandshakeStep step = dialling.on_message(encode(reflected));
  CHECK(step.send.empty());
  CHECK(step.failure.find("challenge of our own") != std::string::npos);
}

}  // namespace
}  // namespace ml_worker::distribution
