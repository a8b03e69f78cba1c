#include "service/limits.h"

#include <algorithm>

namespace ml_worker {

std::optional<Error> check_limits(const std::vector<Input>& inputs, const RequestLimits& limits) {
  if (inputs.size() > limits.texts) return errors::too_large("texts", inputs.size(), limits.texts);
  std::size_t bytes = 0;
  for (const Input& input : inputs) {
    const std::size_t second = input.second ? input.second->size() : 0;
    const std::size_t longer = std::max(input.text.size(), second);
    if (longer > limits.text_bytes) return errors::too_large("text", longer, limits.text_bytes);
    bytes += input.text.size() + second;
  }
  if (bytes > limits.call_bytes) return errors::too_large("call", bytes, limits.call_bytes);
  return std::nullopt;
}

}  // namespace ml_worker
