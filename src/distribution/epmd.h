// The messages between a node and epmd, the Erlang Port Mapper Daemon ("Distribution Protocol",
// "EPMD Protocol"). Functions of bytes only; registration.h and join.h do the talking.
#pragma once

#include <cstdint>
#include <string_view>

#include "distribution/wire.h"

namespace ml_worker::distribution::epmd {

/// What the first bytes of a stream mean so far.
template <typename T>
struct Parse {
  enum class State { incomplete, malformed, complete };
  State state = State::incomplete;
  T value{};
};

/// ALIVE2_REQ of a hidden node: `alive_name` is the part of the node name before '@'.
Bytes alive2_request(std::string_view alive_name, std::uint16_t port);

struct Alive2Response {
  bool accepted = false;  ///< false: another node holds the name
  std::uint32_t creation = 0;
};
/// ALIVE2_X_RESP (and ALIVE2_RESP, which old daemons send).
Parse<Alive2Response> parse_alive2_response(ByteView bytes);

Bytes port_please2_request(std::string_view alive_name);

struct Port2Response {
  bool found = false;
  std::uint16_t port = 0;
  std::uint16_t highest_version = 0;  ///< of the distribution protocol that the node speaks
  std::uint16_t lowest_version = 0;
};
/// Complete as soon as the versions are there: the name and the extra field are not needed.
Parse<Port2Response> parse_port2_response(ByteView bytes);

}  // namespace ml_worker::distribution::epmd
