#include "tokenizer/wordpiece.h"

#include <algorithm>
#include <stdexcept>

namespace ml_worker {

void WordPiece::Table::add(std::u32string token, std::int32_t id) {
  longest = std::max(longest, token.size());
  ids.insert_or_assign(std::move(token), id);
}

std::pair<std::size_t, std::int32_t> WordPiece::Table::longest_match(
    std::u32string_view text) const {
  for (std::size_t length = std::min(longest, text.size()); length > 0; --length) {
    const auto found = ids.find(text.substr(0, length));
    if (found != ids.end()) return {length, found->second};
  }
  return {0, -1};
}

WordPiece::WordPiece(const VocabularyEntries& vocabulary, WordPieceOptions options)
    : options_(std::move(options)) {
  const auto& prefix = options_.continuing_prefix;
  for (const auto& [token, id] : vocabulary) {
    vocabulary_size_ = std::max(vocabulary_size_, static_cast<std::size_t>(id) + 1);
    if (token.starts_with(prefix)) continuations_.add(token.substr(prefix.size()), id);
    tokens_.add(token, id);
  }
  unknown_id_ = WordPiece::id_of(options_.unknown_token);
  if (unknown_id_ < 0) throw std::invalid_argument("the unknown token is not in the vocabulary");
}

std::int32_t WordPiece::id_of(std::u32string_view token) const {
  const auto found = tokens_.ids.find(token);
  return found == tokens_.ids.end() ? -1 : found->second;
}

template <typename Take>
bool WordPiece::cut(std::u32string_view word, Take take) const {
  if (word.size() > options_.max_word_length) return false;
  const Table* table = &tokens_;
  while (!word.empty()) {
    const auto [length, id] = table->longest_match(word);
    if (length == 0) return false;
    take(id, length);
    word.remove_prefix(length);
    table = &continuations_;
  }
  return true;
}

void WordPiece::tokenize(std::u32string_view word, std::vector<std::int32_t>& ids) const {
  const std::size_t start = ids.size();
  if (cut(word, [&](std::int32_t id, std::size_t /*length*/) { ids.push_back(id); })) return;
  ids.resize(start);
  ids.push_back(unknown_id_);
}

void WordPiece::split(std::u32string_view word, std::vector<WordPart>& parts) const {
  const std::size_t start = parts.size();
  std::size_t at = 0;
  const auto take = [&](std::int32_t id, std::size_t length) {
    parts.push_back({id, at, at + length});
    at += length;
  };
  if (cut(word, take)) return;
  parts.resize(start);
  parts.push_back({unknown_id_, 0, word.size()});
}

}  // namespace ml_worker
