// What proves the cookie: challenges and digests.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace ml_worker::distribution {

using Digest = std::array<char, 16>;

/// MD5 of the cookie followed by the challenge in decimal ("Distribution Handshake").
Digest challenge_digest(std::string_view cookie, std::uint32_t challenge);

/// Takes the same time wherever the difference is.
bool equal_in_constant_time(const Digest& a, const Digest& b);

/// From the kernel's generator: challenges and creations must not be guessable.
std::uint32_t random_u32();

}  // namespace ml_worker::distribution
