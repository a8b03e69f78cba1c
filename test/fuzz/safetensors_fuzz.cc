// A weights file: every tensor that the header is believed about lies inside the file.
#include "fuzz.h"
#include "ml_worker/startup_error.h"
#include "model/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::byte> file(reinterpret_cast<const std::byte*>(data), size);
  try {
    for (const auto& [name, tensor] : ml_worker::parse_safetensors(file, "fuzz")) {
      const auto bytes = tensor.bytes;
      if (bytes.empty()) continue;
      ml_worker::fuzz::require(
          bytes.data() >= file.data() && bytes.data() + bytes.size() <= file.data() + file.size(),
          "tensors lie inside");
    }
  } catch (const ml_worker::StartupError&) {
  }
  return 0;
}
