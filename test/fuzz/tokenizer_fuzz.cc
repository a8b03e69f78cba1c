// tokenizer.json: read, or refused with a StartupError that names what is wrong.
#include "fuzz.h"
#include "ml_worker/startup_error.h"
#include "tokenizer/tokenizer_json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const std::string text(reinterpret_cast<const char*>(data), size);
    const ml_worker::JsonObject object(ml_worker::parse_json(text, "fuzz"), "fuzz");
    (void)ml_worker::parts_of_tokenizer_json(object);
  } catch (const ml_worker::StartupError&) {
  }
  return 0;
}
