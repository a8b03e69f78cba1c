// Both sides of the handshake. Input: a byte that steers (bit 0: we dial; bits 1, 2: what the peer
// is to us; bit 3: the peer knows the cookie), then messages with lengths of 2 bytes.
#include "distribution/handshake.h"
#include "fuzz.h"

namespace {

using namespace ml_worker::distribution;
using ml_worker::fuzz::require;

constexpr std::uint32_t kChallenge = 7;
constexpr const char* kCookie = "cookie";

std::unique_ptr<HandshakeMachine> make_machine(std::uint8_t steer) {
  const LocalNode local{"worker1@127.0.0.1", kCookie, 9};
  const auto random = [] { return kChallenge; };
  if ((steer & 1U) != 0) {
    return std::make_unique<Initiator>(
        local, "front@127.0.0.1", [] { return false; },
        [](std::uint32_t challenge) { return challenge == kChallenge; }, random);
  }
  const auto known = static_cast<KnownAs>((steer >> 1U) % 4);
  return std::make_unique<Acceptor>(
      local, [known](const std::string&) { return known; }, random);
}

/// No mutation finds an MD5: the right one is put where a digest stands.
void prove_cookie(Bytes& message) {
  const Digest digest = challenge_digest(kCookie, kChallenge);
  const bool holds_one =
      (message[0] == 'r' && message.size() == 21) || (message[0] == 'a' && message.size() == 17);
  if (holds_one) std::copy(digest.begin(), digest.end(), message.end() - 16);
}

void run(HandshakeMachine& machine, ByteView input, bool knows_cookie) {
  HandshakeStep step = machine.start();
  while (input.size() >= 2 && step.failure.empty() && !step.established) {
    const auto length = std::min<std::size_t>(WireReader(input).u16(), input.size() - 2);
    Bytes message(input.begin() + 2, input.begin() + 2 + static_cast<std::ptrdiff_t>(length));
    input = input.subspan(2 + length);
    if (knows_cookie && !message.empty()) prove_cookie(message);
    step = machine.on_message(message);
    require(machine.claimed_name().size() <= 255, "names are short");
    for (const Bytes& answer : step.send) require(answer.size() < 1024, "answers are short");
  }
  require(!step.established || !machine.outstanding_challenge(), "a peer has answered");
  require(knows_cookie || !step.established, "without the cookie nobody is a peer");
  if (step.established)
    require((step.established->flags & ~(flags::kOurs | flags::kNameMe)) == 0,
            "flags in force are ours too");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ByteView input = ml_worker::fuzz::view(data, size);
  const std::uint8_t steer = ml_worker::fuzz::Dice(input).roll();
  run(*make_machine(steer), input, (steer & 8U) != 0);
  return 0;
}
