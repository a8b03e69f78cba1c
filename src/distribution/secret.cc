#include "distribution/secret.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sys/random.h>

#include <cerrno>
#include <stdexcept>
#include <string>
#include <system_error>

namespace ml_worker::distribution {

Digest challenge_digest(std::string_view cookie, std::uint32_t challenge) {
  const std::string input = std::string(cookie) + std::to_string(challenge);
  Digest digest;
  unsigned int length = 0;
  if (EVP_Digest(input.data(), input.size(), reinterpret_cast<unsigned char*>(digest.data()),
                 &length, EVP_md5(), nullptr) != 1 ||
      length != digest.size()) {
    throw std::runtime_error("OpenSSL offers no MD5, which Erlang's handshake needs");
  }
  return digest;
}

bool equal_in_constant_time(const Digest& a, const Digest& b) {
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::uint32_t random_u32() {
  std::uint32_t value = 0;
  while (getrandom(&value, sizeof value, 0) != static_cast<ssize_t>(sizeof value)) {
    if (errno != EINTR) throw std::system_error(errno, std::generic_category(), "getrandom");
  }
  return value;
}

}  // namespace ml_worker::distribution
