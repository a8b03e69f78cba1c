#include "tokenizer/vocabulary.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "tokenizer/unicode.h"

namespace ml_worker {

VocabularyEntries read_vocabulary(const JsonObject& model) {
  return read_vocabulary_object(model.object("vocab"));
}

VocabularyEntries read_vocabulary_object(const JsonObject& vocab) {
  VocabularyEntries entries;
  std::unordered_set<std::int32_t> seen;
  for (const auto& [token, id] : vocab.json().items()) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() > kMaxTokenId) {
      vocab.fail("'" + token + "': expected an id up to " + std::to_string(kMaxTokenId) + ", got " +
                 id.dump());
    }
    const auto number = id.get<std::int32_t>();
    if (!seen.insert(number).second) vocab.fail("id " + id.dump() + " stands there twice");
    entries.emplace_back(unicode::decode(token), number);
  }
  if (entries.empty()) vocab.fail("expected tokens, got none");
  return entries;
}

VocabularyEntries parse_vocabulary_lines(std::string_view text) {
  VocabularyEntries entries;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    entries.emplace_back(unicode::decode(line), static_cast<std::int32_t>(entries.size()));
  }
  return entries;
}

AddedToken read_added_token(const JsonObject& token) {
  AddedToken result;
  result.content = unicode::decode(token.text("content"));
  result.single_word = token.flag("single_word", false);
  result.lstrip = token.flag("lstrip", false);
  result.rstrip = token.flag("rstrip", false);
  result.normalized = token.flag("normalized", !token.flag("special", false));
  return result;
}

}  // namespace ml_worker
