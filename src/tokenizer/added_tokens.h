// Tokens that are found in a text before anything else looks at it: the special ones, and those
// added after training (AddedVocabulary of Hugging Face `tokenizers`).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace ml_worker {

struct AddedToken {
  std::u32string content;
  std::int32_t id = 0;
  bool single_word = false;  ///< not next to a word character
  bool lstrip = false;       ///< swallows white space before it
  bool rstrip = false;       ///< and after it
  bool normalized = false;   ///< looked for in the normalised text
};

/// Leftmost, longest match over a set of tokens; time is linear in the text times the longest
/// token, however many tokens there are.
class AddedTokens {
 public:
  struct Match {
    std::size_t begin;  ///< the end of the text if there is none
    std::size_t end;
    std::int32_t id;  ///< -1 if there is none
  };

  explicit AddedTokens(std::vector<AddedToken> tokens);
  bool empty() const { return tokens_.empty(); }
  /// The next match that begins at `from` or later; white space is not taken from before `from`.
  Match next(std::u32string_view text, std::size_t from) const;

 private:
  struct Node {
    std::map<char32_t, std::size_t> children;
    std::ptrdiff_t token = -1;
  };

  void insert(std::size_t token);
  bool may_begin(char32_t c) const;
  /// Index of the longest token that `text` begins with, or -1.
  std::ptrdiff_t longest_at(std::u32string_view text) const;

  std::vector<AddedToken> tokens_;
  std::vector<Node> nodes_;
};

}  // namespace ml_worker
