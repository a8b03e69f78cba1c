#include "distribution/handshake.h"

#include <algorithm>
#include <utility>

#include "ml_worker/utf8.h"

namespace ml_worker::distribution {
namespace {

constexpr std::size_t kMaxNameBytes = 255;

Bytes tagged(char tag) { return Bytes{tag}; }

void put_counted_name(Bytes& out, const std::string& name) {
  put_number(out, 2, name.size());
  put_text(out, name);
}

Digest read_digest(WireReader& in) {
  Digest digest{};
  const std::string text = in.text(digest.size());
  std::copy(text.begin(), text.end(), digest.begin());
  return digest;
}

template <typename Message>
std::optional<Message> if_complete(const WireReader& in, Message message) {
  if (!in.complete()) return std::nullopt;
  return message;
}

NameMessage read_name_v6(WireReader& in) {
  NameMessage message;
  message.flags = in.u64();
  message.creation = in.u32();
  message.name = in.text(in.u16());
  return message;
}

NameMessage read_name_v5(WireReader& in) {
  NameMessage message;
  message.version = 5;
  in.u16();  // says 5
  message.flags = in.u32();
  message.name = in.remaining_text();
  return message;
}

HandshakeStep give_up(std::string why) { return {{}, std::nullopt, std::move(why)}; }

HandshakeStep refuse(const char* status, std::string why) {
  return {{encode(StatusMessage{status})}, std::nullopt, std::move(why)};
}

bool is_printable(const std::string& text) {
  return is_valid_utf8(text) && std::none_of(text.begin(), text.end(), [](char c) {
           return static_cast<unsigned char>(c) <= ' ' || c == '\x7f';
         });
}

/// NAME@HOST, or only a host where the peer asks to be named.
bool is_plausible_name(const std::string& name, bool dynamic) {
  if (name.empty() || name.size() > kMaxNameBytes || !is_printable(name)) return false;
  const auto at = name.find('@');
  if (dynamic) return at == std::string::npos;
  return at != std::string::npos && at > 0 && at + 1 < name.size() &&
         name.find('@', at + 1) == std::string::npos;
}

std::uint64_t expand_digest(std::uint64_t peer_flags) {
  const bool digest = (peer_flags & flags::kMandatory25Digest) != 0;
  return digest ? peer_flags | flags::kMandatory25 : peer_flags;
}

bool has_mandatory(std::uint64_t peer_flags) {
  return (peer_flags & flags::kMandatory25) == flags::kMandatory25;
}

constexpr const char* kMissingFlags = "the peer lacks capabilities that OTP 25 demands";
constexpr const char* kTooMany = "as many nodes are connected as --max-connections allows";

}  // namespace

Bytes encode(const NameMessage& message) {
  if (message.version == 5) {
    Bytes out = tagged('n');
    put_number(out, 2, 5);
    put_number(out, 4, message.flags);
    put_text(out, message.name);
    return out;
  }
  Bytes out = tagged('N');
  put_number(out, 8, message.flags);
  put_number(out, 4, message.creation);
  put_counted_name(out, message.name);
  return out;
}

Bytes encode(const StatusMessage& message) {
  Bytes out = tagged('s');
  put_text(out, message.status);
  return out;
}

Bytes encode(const ChallengeMessage& message) {
  Bytes out = tagged('N');
  put_number(out, 8, message.flags);
  put_number(out, 4, message.challenge);
  put_number(out, 4, message.creation);
  put_counted_name(out, message.name);
  return out;
}

Bytes encode(const ComplementMessage& message) {
  Bytes out = tagged('c');
  put_number(out, 4, message.high_flags);
  put_number(out, 4, message.creation);
  return out;
}

Bytes encode(const ChallengeReply& message) {
  Bytes out = tagged('r');
  put_number(out, 4, message.challenge);
  put_bytes(out, message.digest);
  return out;
}

Bytes encode(const ChallengeAck& message) {
  Bytes out = tagged('a');
  put_bytes(out, message.digest);
  return out;
}

std::optional<NameMessage> parse_name(ByteView bytes) {
  WireReader in(bytes);
  const std::uint8_t tag = in.u8();
  if (tag != 'N' && tag != 'n') return std::nullopt;
  NameMessage message = tag == 'N' ? read_name_v6(in) : read_name_v5(in);
  return if_complete(in, std::move(message));
}

std::optional<StatusMessage> parse_status(ByteView bytes) {
  WireReader in(bytes);
  if (in.u8() != 's') return std::nullopt;
  StatusMessage message{in.remaining_text()};
  return if_complete(in, std::move(message));
}

std::optional<ChallengeMessage> parse_challenge(ByteView bytes) {
  WireReader in(bytes);
  if (in.u8() != 'N') return std::nullopt;
  ChallengeMessage message;
  message.flags = in.u64();
  message.challenge = in.u32();
  message.creation = in.u32();
  message.name = in.text(in.u16());
  return if_complete(in, std::move(message));
}

std::optional<ComplementMessage> parse_complement(ByteView bytes) {
  WireReader in(bytes);
  if (in.u8() != 'c') return std::nullopt;
  ComplementMessage message;
  message.high_flags = in.u32();
  message.creation = in.u32();
  return if_complete(in, message);
}

std::optional<ChallengeReply> parse_challenge_reply(ByteView bytes) {
  WireReader in(bytes);
  if (in.u8() != 'r') return std::nullopt;
  ChallengeReply message;
  message.challenge = in.u32();
  message.digest = read_digest(in);
  return if_complete(in, message);
}

std::optional<ChallengeAck> parse_challenge_ack(ByteView bytes) {
  WireReader in(bytes);
  if (in.u8() != 'a') return std::nullopt;
  ChallengeAck message{read_digest(in)};
  return if_complete(in, message);
}

// ---- Acceptor
// -------------------------------------------------------------------------------------

Acceptor::Acceptor(LocalNode local, std::function<KnownAs(const std::string&)> known_as,
                   RandomSource random)
    : local_(std::move(local)), known_as_(std::move(known_as)), random_(std::move(random)) {}

HandshakeStep Acceptor::on_message(ByteView message) {
  const auto state = std::exchange(state_, Finished{});
  return std::visit([&](const auto& phase) { return on(phase, message); }, state);
}

std::optional<std::uint32_t> Acceptor::outstanding_challenge() const {
  if (const auto* state = std::get_if<AwaitComplement>(&state_)) return state->challenge;
  if (const auto* state = std::get_if<AwaitReply>(&state_)) return state->challenge;
  return std::nullopt;
}

HandshakeStep Acceptor::on(const AwaitName&, ByteView message) {
  const auto name = parse_name(message);
  const bool dynamic = name && (name->flags & flags::kNameMe) != 0;
  if (!name || !is_plausible_name(name->name, dynamic)) return give_up("no name message");
  claimed_name_ = name->name;
  const std::uint64_t all = expand_digest(name->flags);
  // An 'n' carries the low half only; the complement brings the rest.
  if (!has_mandatory(all)) return refuse("not_allowed", kMissingFlags);
  if (name->name == local_.name) return refuse("not_allowed", "the peer has our own name");
  Peer peer{name->name, all & flags::kOurs, name->creation};
  return dynamic ? name_peer(std::move(peer)) : answer_name(std::move(peer), name->version);
}

HandshakeStep Acceptor::answer_name(Peer peer, int version) {
  switch (known_as_(peer.name)) {
    case KnownAs::connected: {
      state_ = AwaitLiveness{std::move(peer), version};
      return {{encode(StatusMessage{"alive"})}, std::nullopt, ""};
    }
    case KnownAs::being_dialled:
      if (local_.name > peer.name) return refuse("nok", "both sides dialled, ours goes on");
      return challenge({{encode(StatusMessage{"ok_simultaneous"})}, std::nullopt, ""},
                       std::move(peer), version);
    case KnownAs::one_too_many:
      return give_up(kTooMany);
    case KnownAs::unknown:
      break;
  }
  return challenge({{encode(StatusMessage{"ok"})}, std::nullopt, ""}, std::move(peer), version);
}

/// A node started with a dynamic name has sent its host and gets a name from us.
HandshakeStep Acceptor::name_peer(Peer peer) {
  peer.flags |= flags::kNameMe;
  peer.creation = random_();
  peer.name = "dyn" + std::to_string(random_()) + std::to_string(random_()) + "@" + peer.name;
  if (known_as_(peer.name) == KnownAs::one_too_many) return give_up(kTooMany);
  Bytes status = encode(StatusMessage{"named:"});
  put_counted_name(status, peer.name);
  put_number(status, 4, peer.creation);
  return challenge({{std::move(status)}, std::nullopt, ""}, std::move(peer), 6);
}

HandshakeStep Acceptor::challenge(HandshakeStep step, Peer peer, int version) {
  const std::uint32_t number = random_();
  // A node that we have just named asks for its request to be confirmed.
  const std::uint64_t ours = flags::kOurs | (peer.flags & flags::kNameMe);
  step.send.push_back(encode(ChallengeMessage{ours, number, local_.creation, local_.name}));
  if (version == 5) {
    state_ = AwaitComplement{std::move(peer), number};
  } else {
    state_ = AwaitReply{std::move(peer), number};
  }
  return step;
}

HandshakeStep Acceptor::on(const AwaitLiveness& state, ByteView message) {
  const auto answer = parse_status(message);
  if (!answer || answer->status != "true") return give_up("the peer kept its old connection");
  return challenge({}, state.peer, state.version);
}

HandshakeStep Acceptor::on(const AwaitComplement& state, ByteView message) {
  const auto complement = parse_complement(message);
  if (!complement) return give_up("no complement message");
  Peer peer = state.peer;
  peer.flags |= (std::uint64_t{complement->high_flags} << 32U) & flags::kOurs;
  peer.creation = complement->creation;
  state_ = AwaitReply{std::move(peer), state.challenge};
  return {};
}

HandshakeStep Acceptor::on(const AwaitReply& state, ByteView message) {
  const auto reply = parse_challenge_reply(message);
  if (!reply) return give_up("no challenge reply");
  if (!equal_in_constant_time(reply->digest, challenge_digest(local_.cookie, state.challenge))) {
    return give_up("wrong cookie");
  }
  const ChallengeAck ack{challenge_digest(local_.cookie, reply->challenge)};
  return {{encode(ack)}, state.peer, ""};
}

HandshakeStep Acceptor::on(const Finished&, ByteView) { return give_up("the handshake is over"); }

// ---- Initiator
// ------------------------------------------------------------------------------------

Initiator::Initiator(LocalNode local, std::string peer_name, std::function<bool()> is_connected,
                     std::function<bool(std::uint32_t)> is_ours, RandomSource random)
    : local_(std::move(local)),
      peer_name_(std::move(peer_name)),
      is_connected_(std::move(is_connected)),
      is_ours_(std::move(is_ours)),
      random_(std::move(random)) {}

HandshakeStep Initiator::start() {
  return {{encode(NameMessage{6, flags::kOurs, local_.creation, local_.name})}, std::nullopt, ""};
}

HandshakeStep Initiator::on_message(ByteView message) {
  const auto state = std::exchange(state_, Finished{});
  return std::visit([&](const auto& phase) { return on(phase, message); }, state);
}

std::optional<std::uint32_t> Initiator::outstanding_challenge() const {
  const auto* state = std::get_if<AwaitAck>(&state_);
  return state != nullptr ? std::optional(state->challenge) : std::nullopt;
}

HandshakeStep Initiator::on(const AwaitStatus&, ByteView message) {
  const auto status = parse_status(message);
  if (!status) return give_up("no status message");
  const std::string& text = status->status;
  if (text != "ok" && text != "ok_simultaneous" && text != "alive") {
    return give_up(is_printable(text) ? "the peer answered " + text.substr(0, 32)
                                      : "the peer answered an unknown status");
  }
  // `alive`: the peer has a connection, which is gone, or which it has made while we dialled.
  if (text == "alive" && is_connected_()) return refuse("false", "connected meanwhile");
  state_ = AwaitChallenge{};
  if (text == "alive") return {{encode(StatusMessage{"true"})}, std::nullopt, ""};
  return {};
}

HandshakeStep Initiator::on(const AwaitChallenge&, ByteView message) {
  const auto challenge = parse_challenge(message);
  if (!challenge) return give_up("no challenge message");
  if (challenge->name != peer_name_) return give_up("another node answers at that address");
  const std::uint64_t all = expand_digest(challenge->flags);
  if (!has_mandatory(all)) return give_up(kMissingFlags);
  if (is_ours_(challenge->challenge)) return give_up("the peer sent a challenge of our own back");
  const std::uint32_t number = random_();
  state_ = AwaitAck{Peer{peer_name_, all & flags::kOurs, challenge->creation}, number};
  const ChallengeReply reply{number, challenge_digest(local_.cookie, challenge->challenge)};
  return {{encode(reply)}, std::nullopt, ""};
}

HandshakeStep Initiator::on(const AwaitAck& state, ByteView message) {
  const auto ack = parse_challenge_ack(message);
  if (!ack) return give_up("no challenge acknowledgement");
  if (!equal_in_constant_time(ack->digest, challenge_digest(local_.cookie, state.challenge))) {
    return give_up("wrong cookie");
  }
  return {{}, state.peer, ""};
}

HandshakeStep Initiator::on(const Finished&, ByteView) { return give_up("the handshake is over"); }

}  // namespace ml_worker::distribution
