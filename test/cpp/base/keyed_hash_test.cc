#include "ml_worker/keyed_hash.h"

#include <catch2/catch.hpp>
#include <set>
#include <string>

#include "base/siphash.h"

using ml_worker::keyed_hash;
using ml_worker::siphash13;

// Vectors computed by an independent implementation that reproduces the paper's SipHash-2-4
// example.
TEST_CASE("SipHash-1-3 gives the known hashes under the key 00 01 … 0f") {
  const ml_worker::SipKey key{0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL};
  std::string bytes;
  for (int i = 0; i < 63; ++i) bytes += static_cast<char>(i);
  CHECK(siphash13(key, "") == 0xabac0158050fc4dcULL);
  CHECK(siphash13(key, bytes.substr(0, 1)) == 0xc9f49bf37d57ca93ULL);
  CHECK(siphash13(key, bytes.substr(0, 7)) == 0xd3927d989bb11140ULL);
  CHECK(siphash13(key, bytes.substr(0, 8)) == 0x369095118d299a8eULL);
  CHECK(siphash13(key, bytes.substr(0, 15)) == 0xd320d86d2a519956ULL);
  CHECK(siphash13(key, bytes) == 0x9d199062b7bbb3a8ULL);
}

TEST_CASE("equal keys hash equally and different ones hardly ever") {
  CHECK(keyed_hash("text") == keyed_hash(std::string("text")));
  std::set<std::size_t> hashes;
  for (int i = 0; i < 10000; ++i) hashes.insert(keyed_hash(std::to_string(i)));
  CHECK(hashes.size() == 10000);
}
