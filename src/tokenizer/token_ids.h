// A vocabulary: as it is read, and as it is looked up.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace ml_worker {

/// Tokens and their ids in the order of the file.
using VocabularyEntries = std::vector<std::pair<std::u32string, std::int32_t>>;

/// Lets a part of a text be looked up without a copy of it.
struct TokenHash {
  using is_transparent = void;
  std::size_t operator()(std::u32string_view text) const {
    return std::hash<std::u32string_view>()(text);
  }
};
using TokenIds = std::unordered_map<std::u32string, std::int32_t, TokenHash, std::equal_to<>>;

}  // namespace ml_worker
