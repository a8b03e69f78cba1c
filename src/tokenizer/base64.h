// Base64 (RFC 4648, section 4), as tokenizer.json writes bytes.
#pragma once

#include <string>
#include <string_view>

namespace ml_worker {

/// Throws std::invalid_argument where `text` is not whole base64 with padding.
std::string decode_base64(std::string_view text);

}  // namespace ml_worker
