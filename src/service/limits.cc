#include "service/limits.h"

namespace ml_worker {

std::optional<Error> check_limits(const std::vector<std::string>& texts,
                                  const RequestLimits& limits) {
  if (texts.size() > limits.texts) return errors::too_large("texts", texts.size(), limits.texts);
  std::size_t bytes = 0;
  for (const std::string& text : texts) {
    if (text.size() > limits.text_bytes) {
      return errors::too_large("text", text.size(), limits.text_bytes);
    }
    bytes += text.size();
  }
  if (bytes > limits.call_bytes) return errors::too_large("call", bytes, limits.call_bytes);
  return std::nullopt;
}

}  // namespace ml_worker
