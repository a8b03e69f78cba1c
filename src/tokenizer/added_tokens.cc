#include "tokenizer/added_tokens.h"

#include <utility>

#include "tokenizer/unicode.h"

namespace ml_worker {
namespace {

bool is_single_word(std::u32string_view text, std::size_t begin, std::size_t end) {
  return (begin == 0 || !unicode::is_word(text[begin - 1])) &&
         (end == text.size() || !unicode::is_word(text[end]));
}

AddedTokens::Match stripped(const AddedToken& token, std::u32string_view text, std::size_t from,
                            std::size_t begin) {
  std::size_t end = begin + token.content.size();
  while (token.lstrip && begin > from && unicode::is_white_space(text[begin - 1])) --begin;
  while (token.rstrip && end < text.size() && unicode::is_white_space(text[end])) ++end;
  return {begin, end, token.id};
}

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)), nodes_(1) {
  // An empty one would match everywhere without end; Hugging Face ignores it too.
  std::erase_if(tokens_, [](const AddedToken& token) { return token.content.empty(); });
  for (std::size_t i = 0; i < tokens_.size(); ++i) insert(i);
}

void AddedTokens::insert(std::size_t token) {
  std::size_t node = 0;
  for (const char32_t c : tokens_[token].content) {
    const auto [child, is_new] = nodes_[node].children.try_emplace(c, nodes_.size());
    node = child->second;
    if (is_new) nodes_.emplace_back();
  }
  nodes_[node].token = static_cast<std::ptrdiff_t>(token);
}

bool AddedTokens::may_begin(char32_t c) const { return nodes_[0].children.contains(c); }

std::ptrdiff_t AddedTokens::longest_at(std::u32string_view text) const {
  std::ptrdiff_t longest = -1;
  std::size_t node = 0;
  for (const char32_t c : text) {
    const auto child = nodes_[node].children.find(c);
    if (child == nodes_[node].children.end()) break;
    node = child->second;
    if (nodes_[node].token >= 0) longest = nodes_[node].token;
  }
  return longest;
}

AddedTokens::Match AddedTokens::next(std::u32string_view text, std::size_t from) const {
  for (std::size_t i = from; i < text.size(); ++i) {
    if (!may_begin(text[i])) continue;
    const std::ptrdiff_t found = longest_at(text.substr(i));
    if (found < 0) continue;
    const AddedToken& token = tokens_[static_cast<std::size_t>(found)];
    const std::size_t end = i + token.content.size();
    if (!token.single_word || is_single_word(text, i, end)) return stripped(token, text, from, i);
    i = end - 1;  // a match that is refused hides those inside it
  }
  return {text.size(), text.size(), -1};
}

}  // namespace ml_worker
