#include "distribution/epmd.h"

namespace ml_worker::distribution::epmd {
namespace {

constexpr std::uint8_t kAlive2Request = 120;
constexpr std::uint8_t kAlive2Response = 121;
constexpr std::uint8_t kAlive2ExtendedResponse = 118;
constexpr std::uint8_t kPortPlease2Request = 122;
constexpr std::uint8_t kPort2Response = 119;

constexpr std::uint8_t kHiddenNode = 72;
constexpr std::uint8_t kTcpIpv4 = 0;
constexpr std::uint16_t kHighestVersion = 6;
constexpr std::uint16_t kLowestVersion = 5;

Bytes with_length(const Bytes& body) {
  Bytes message;
  put_number(message, 2, body.size());
  put_bytes(message, body);
  return message;
}

template <typename T>
Parse<T> complete_if(const WireReader& in, const T& value) {
  using State = typename Parse<T>::State;
  if (!in.within()) return {State::incomplete, {}};
  return {State::complete, value};
}

}  // namespace

Bytes alive2_request(std::string_view alive_name, std::uint16_t port) {
  Bytes body;
  put_number(body, 1, kAlive2Request);
  put_number(body, 2, port);
  put_number(body, 1, kHiddenNode);
  put_number(body, 1, kTcpIpv4);
  put_number(body, 2, kHighestVersion);
  put_number(body, 2, kLowestVersion);
  put_number(body, 2, alive_name.size());
  put_text(body, alive_name);
  put_number(body, 2, 0);  // no extra field
  return with_length(body);
}

Parse<Alive2Response> parse_alive2_response(ByteView bytes) {
  WireReader in(bytes);
  const std::uint8_t tag = in.u8();
  if (in.within() && tag != kAlive2ExtendedResponse && tag != kAlive2Response) {
    return {Parse<Alive2Response>::State::malformed, {}};
  }
  Alive2Response response;
  response.accepted = in.u8() == 0;
  response.creation = tag == kAlive2ExtendedResponse ? in.u32() : in.u16();
  return complete_if(in, response);
}

Bytes port_please2_request(std::string_view alive_name) {
  Bytes body;
  put_number(body, 1, kPortPlease2Request);
  put_text(body, alive_name);
  return with_length(body);
}

Parse<Port2Response> parse_port2_response(ByteView bytes) {
  WireReader in(bytes);
  const std::uint8_t tag = in.u8();
  if (in.within() && tag != kPort2Response) return {Parse<Port2Response>::State::malformed, {}};
  Port2Response response;
  const std::uint8_t result = in.u8();
  if (result != 0) return complete_if(in, response);
  response.found = true;
  response.port = in.u16();
  in.number(2);  // node type, protocol
  response.highest_version = in.u16();
  response.lowest_version = in.u16();
  return complete_if(in, response);
}

}  // namespace ml_worker::distribution::epmd
