// The handshake of Erlang distribution ("Distribution Handshake"): messages and the two sides.
//
// Functions and state machines of bytes; handshaker.h moves the bytes. Each phase is a type of its
// own that holds what that phase knows, so a message in the wrong order has no state to act on,
// and a Peer exists only after the cookie was proved.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "distribution/secret.h"
#include "distribution/wire.h"

namespace ml_worker::distribution {

// ---- Capability flags
// ----------------------------------------------------------------------------- docs/PROTOCOL.md
// says of each why it is set or not.

namespace flags {
inline constexpr std::uint64_t kExtendedReferences = 0x4;
inline constexpr std::uint64_t kDistMonitor = 0x8;
inline constexpr std::uint64_t kFunTags = 0x10;
inline constexpr std::uint64_t kDistMonitorName = 0x20;
inline constexpr std::uint64_t kNewFunTags = 0x80;
inline constexpr std::uint64_t kExtendedPidsPorts = 0x100;
inline constexpr std::uint64_t kExportPtrTag = 0x200;
inline constexpr std::uint64_t kBitBinaries = 0x400;
inline constexpr std::uint64_t kNewFloats = 0x800;
inline constexpr std::uint64_t kSmallAtomTags = 0x4000;
inline constexpr std::uint64_t kUtf8Atoms = 0x10000;
inline constexpr std::uint64_t kMapTag = 0x20000;
inline constexpr std::uint64_t kBigCreation = 0x40000;
inline constexpr std::uint64_t kExitPayload = 0x400000;
inline constexpr std::uint64_t kFragments = 0x800000;
inline constexpr std::uint64_t kHandshake23 = 0x1000000;
inline constexpr std::uint64_t kUnlinkId = 0x2000000;
inline constexpr std::uint64_t kMandatory25Digest = 0x4000000;
inline constexpr std::uint64_t kSpawn = std::uint64_t{1} << 32;
inline constexpr std::uint64_t kNameMe = std::uint64_t{1} << 33;
inline constexpr std::uint64_t kV4Nc = std::uint64_t{1} << 34;

/// What OTP 25 demands; a peer may send the digest bit instead.
inline constexpr std::uint64_t kMandatory25 =
    kExtendedReferences | kFunTags | kNewFunTags | kExtendedPidsPorts | kExportPtrTag |
    kBitBinaries | kNewFloats | kUtf8Atoms | kMapTag | kBigCreation | kHandshake23;

inline constexpr std::uint64_t kOurs = kMandatory25 | kDistMonitor | kDistMonitorName |
                                       kSmallAtomTags | kExitPayload | kFragments | kUnlinkId |
                                       kMandatory25Digest | kSpawn | kV4Nc;
}  // namespace flags

// ---- Messages, without their length prefix
// ----------------------------------------------------------

struct NameMessage {
  int version = 6;  ///< 6: 'N'; 5: 'n', without creation and with 32 flags
  std::uint64_t flags = 0;
  std::uint32_t creation = 0;
  std::string name;
};
struct StatusMessage {
  std::string status;  ///< ok, ok_simultaneous, nok, not_allowed, alive, true, false, named:…
};
struct ChallengeMessage {
  std::uint64_t flags = 0;
  std::uint32_t challenge = 0;
  std::uint32_t creation = 0;
  std::string name;
};
struct ComplementMessage {  ///< what an 'n' could not hold
  std::uint32_t high_flags = 0;
  std::uint32_t creation = 0;
};
struct ChallengeReply {
  std::uint32_t challenge = 0;
  Digest digest{};
};
struct ChallengeAck {
  Digest digest{};
};

Bytes encode(const NameMessage& message);
Bytes encode(const StatusMessage& message);
Bytes encode(const ChallengeMessage& message);
Bytes encode(const ComplementMessage& message);
Bytes encode(const ChallengeReply& message);
Bytes encode(const ChallengeAck& message);

// Nothing if the bytes are not exactly such a message.
std::optional<NameMessage> parse_name(ByteView bytes);
std::optional<StatusMessage> parse_status(ByteView bytes);
std::optional<ChallengeMessage> parse_challenge(ByteView bytes);
std::optional<ComplementMessage> parse_complement(ByteView bytes);
std::optional<ChallengeReply> parse_challenge_reply(ByteView bytes);
std::optional<ChallengeAck> parse_challenge_ack(ByteView bytes);

// ---- The two sides
// --------------------------------------------------------------------------------

/// A node that has proved that it knows the cookie.
struct Peer {
  std::string name;
  std::uint64_t flags = 0;  ///< in force: set by both sides
  std::uint32_t creation = 0;
};

/// What both sides need to know of us.
struct LocalNode {
  std::string name;
  std::string cookie;
  std::uint32_t creation = 0;
};

/// What a machine wants done after a message.
struct HandshakeStep {
  std::vector<Bytes> send;  ///< messages, in order; also before giving up
  std::optional<Peer> established;
  std::string failure;  ///< not empty: give up
};

class HandshakeMachine {
 public:
  virtual ~HandshakeMachine() = default;
  virtual HandshakeStep start() { return {}; }
  virtual HandshakeStep on_message(ByteView message) = 0;
  /// The name that the peer claims (not proved yet), for the log; "" before it said one.
  virtual std::string claimed_name() const = 0;
  /// The challenge that the peer has of us and has not answered.
  virtual std::optional<std::uint32_t> outstanding_challenge() const = 0;
};

/// What a node that asks to be connected is to us already.
enum class KnownAs {
  unknown,
  connected,
  being_dialled,
  one_too_many,  ///< unknown, and as many are connected as may be
};

using RandomSource = std::function<std::uint32_t()>;

/// The side that was dialled.
class Acceptor final : public HandshakeMachine {
 public:
  Acceptor(LocalNode local, std::function<KnownAs(const std::string&)> known_as,
           RandomSource random = random_u32);
  HandshakeStep on_message(ByteView message) override;
  std::string claimed_name() const override { return claimed_name_; }
  std::optional<std::uint32_t> outstanding_challenge() const override;

 private:
  struct AwaitName {};
  struct AwaitLiveness {  ///< we said `alive`: does the peer know better?
    Peer peer;
    int version;
  };
  struct AwaitComplement {
    Peer peer;
    std::uint32_t challenge;
  };
  struct AwaitReply {
    Peer peer;
    std::uint32_t challenge;
  };
  struct Finished {};

  HandshakeStep on(const AwaitName& state, ByteView message);
  HandshakeStep on(const AwaitLiveness& state, ByteView message);
  HandshakeStep on(const AwaitComplement& state, ByteView message);
  HandshakeStep on(const AwaitReply& state, ByteView message);
  HandshakeStep on(const Finished& state, ByteView message);

  HandshakeStep answer_name(Peer peer, int version);
  HandshakeStep name_peer(Peer peer);
  HandshakeStep challenge(HandshakeStep step, Peer peer, int version);

  LocalNode local_;
  std::function<KnownAs(const std::string&)> known_as_;
  RandomSource random_;
  std::string claimed_name_;
  std::variant<AwaitName, AwaitLiveness, AwaitComplement, AwaitReply, Finished> state_;
};

/// The side that dials. It is the first to answer a challenge: whoever holds no cookie, and has one
/// of ours to answer on another connection, may pass that on to us. So ours are not answered.
class Initiator final : public HandshakeMachine {
 public:
  /// `is_connected`: whether there is a connection to the peer, which has dialled meanwhile.
  /// `is_ours`: whether a challenge is outstanding in another handshake of this node.
  Initiator(LocalNode local, std::string peer_name, std::function<bool()> is_connected,
            std::function<bool(std::uint32_t challenge)> is_ours, RandomSource random = random_u32);
  HandshakeStep start() override;
  HandshakeStep on_message(ByteView message) override;
  std::string claimed_name() const override { return peer_name_; }
  std::optional<std::uint32_t> outstanding_challenge() const override;

 private:
  struct AwaitStatus {};
  struct AwaitChallenge {};
  struct AwaitAck {
    Peer peer;
    std::uint32_t challenge;
  };
  struct Finished {};

  HandshakeStep on(const AwaitStatus& state, ByteView message);
  HandshakeStep on(const AwaitChallenge& state, ByteView message);
  HandshakeStep on(const AwaitAck& state, ByteView message);
  HandshakeStep on(const Finished& state, ByteView message);

  LocalNode local_;
  std::string peer_name_;
  std::function<bool()> is_connected_;
  std::function<bool(std::uint32_t)> is_ours_;
  RandomSource random_;
  std::variant<AwaitStatus, AwaitChallenge, AwaitAck, Finished> state_;
};

}  // namespace ml_worker::distribution
