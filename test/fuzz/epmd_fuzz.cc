// What epmd answers, in pieces of any size: more bytes never unsay what fewer have said.
#include "distribution/epmd.h"
#include "fuzz.h"

namespace {

using ml_worker::fuzz::require;
using namespace ml_worker::distribution;

template <typename Value, epmd::Parse<Value> (*parse)(ByteView)>
void try_every_length(ByteView bytes) {
  using State = typename epmd::Parse<Value>::State;
  State before = State::incomplete;
  for (std::size_t size = 0; size <= bytes.size(); ++size) {
    const State now = parse(bytes.first(size)).state;
    require(before == State::incomplete || before == now, "a parse that was over stays as it is");
    before = now;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView bytes = ml_worker::fuzz::view(data, std::min<std::size_t>(size, 512));
  try_every_length<epmd::Alive2Response, epmd::parse_alive2_response>(bytes);
  try_every_length<epmd::Port2Response, epmd::parse_port2_response>(bytes);
  return 0;
}
