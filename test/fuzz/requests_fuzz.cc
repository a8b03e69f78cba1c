// ml_worker:F(Args). Input: a byte that names the function, then the argument list as a term.
#include <array>

#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ml_worker;
  static constexpr std::array kFunctions = {
      "encode",  "predict",    "tokenize",     "info",       "get_load",     "health", "models",
      "metrics", "similarity", "embed_tokens", "load_model", "unload_model", "none"};
  terms::ByteView input = fuzz::view(data, size);
  const char* function = kFunctions[fuzz::Dice(input).roll() % kFunctions.size()];
  const auto arguments = terms::scan(input);
  if (arguments) (void)terms::parse_request(function, *arguments, {4096, 64, 16384});
  return 0;
}
