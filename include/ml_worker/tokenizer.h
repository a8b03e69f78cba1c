// Text to token ids, equal id by id to Hugging Face `tokenizers`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ml_worker {

enum class TruncationSide { right, left };

struct Tokens {
  std::vector<std::int32_t> ids;  ///< special tokens included, at most the limit asked for
  /// Tokens that the whole text has, special tokens included; a lower bound where
  /// `given_is_lower_bound` (text that is cut anyway is not tokenized to its end).
  std::size_t given = 0;
  bool given_is_lower_bound = false;
  std::size_t closing = 0;       ///< special tokens that the template puts at the end
  std::size_t second_start = 0;  ///< of a pair: where token type 1 begins; 0: all of type 0
};

/// A token, and where it stands.
struct Piece {
  std::int32_t id = 0;
  std::size_t begin = 0;  ///< bytes of the text: [begin, end), whole characters
  std::size_t end = 0;
  /// Of a token that the template puts round the text, and which stands nowhere in it: its name.
  std::optional<std::string> special;
};

/// Immutable: any number of threads may share one.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// `text` is valid UTF-8. `max_tokens` counts special tokens, at least 2; what is over is cut
  /// from `side`, special tokens are kept.
  virtual Tokens encode(std::string_view text, std::size_t max_tokens,
                        TruncationSide side) const = 0;

  /// The tokens of the whole text, the special ones of the template included, with their places as
  /// Hugging Face tells them. Slower than encode().
  virtual std::vector<Piece> pieces(std::string_view text) const = 0;

  /// False where the directory has no template for pairs, or one that is not supported.
  virtual bool takes_pairs() const = 0;
  /// Two texts as one input. What is over `max_tokens` is cut from the longer one first
  /// (Hugging Face's `longest_first`). REQUIRES: takes_pairs()
  virtual Tokens encode_pair(std::string_view first, std::string_view second,
                             std::size_t max_tokens, TruncationSide side) const = 0;

  virtual std::size_t vocabulary_size() const = 0;
};

struct TokenizerOptions {
  bool lower_case = false;  ///< before anything else: `do_lower_case` of sentence-transformers
};

/// The tokenizer of a model directory: `tokenizer.json` where it is there, else (with
/// `tokenizer_config.json`) `sentencepiece.bpe.model` of XLM-R, `vocab.json` and `merges.txt` of
/// RoBERTa, or `vocab.txt` of BERT. Throws StartupError(ExitCode::model) that names what is
/// missing, broken or not supported.
std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& model_directory,
                                          const TokenizerOptions& options = {});

}  // namespace ml_worker
