#include "tokenizer/unigram.h"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "ml_worker/utf8.h"
#include "tokenizer/sentencepiece_model.h"
#include "tokenizer/unicode.h"

namespace ml_worker {
namespace {

constexpr std::size_t kMaxPieceBytes = 1024;
constexpr double kMaxScore = 1e6;  // sums of many stay finite in a float
constexpr char32_t kLastCodePoint = 0x10FFFF;
/// In place of a piece: a character that stands in none.
constexpr int kUnknownCharacter = -1;
/// How much less than the rarest piece an unknown character scores (sentencepiece's kUnkPenalty).
constexpr double kUnknownPenalty = 10.0;

void check_piece(const UnigramPiece& piece, std::size_t index) {
  const auto refuse = [index](const std::string& what) {
    throw std::invalid_argument("piece " + std::to_string(index) + ": " + what);
  };
  if (piece.text.empty()) refuse("is empty");
  if (piece.text.size() > kMaxPieceBytes) refuse("longer than " + std::to_string(kMaxPieceBytes));
  if (piece.text.find('\0') != std::string::npos) refuse("holds a NUL");
  if (!is_valid_utf8(piece.text)) refuse("is not valid UTF-8");
  if (!(std::abs(piece.score) <= kMaxScore)) refuse("its score is out of range");
}

}  // namespace

Unigram::Unigram(const std::vector<UnigramPiece>& pieces, std::size_t unknown_id)
    : processor_(std::make_unique<sentencepiece::SentencePieceProcessor>()),
      is_known_(kLastCodePoint + 1),
      vocabulary_size_(pieces.size()),
      unknown_id_(static_cast<std::int32_t>(unknown_id)) {
  if (unknown_id >= pieces.size()) throw std::invalid_argument("'unk_id' is not in 'vocab'");
  for (std::size_t i = 0; i < pieces.size(); ++i) check_piece(pieces[i], i);
  for (const auto& piece : pieces) {
    pieces_.push_back(piece.text);
    lengths_.push_back(unicode::decode(piece.text).size());
  }
  add_characters(pieces);
}

/// The library's own handling of unknown characters is quadratic in their number (41 s for a MiB).
/// So it sees none: characters that stand in no piece are taken out before, and those that stand
/// only inside longer pieces become pieces that score as unknown ones do.
void Unigram::add_characters(const std::vector<UnigramPiece>& pieces) {
  std::vector<UnigramPiece> all = pieces;
  const auto rarest = std::min_element(
      pieces.begin(), pieces.end(),
      [](const UnigramPiece& a, const UnigramPiece& b) { return a.score < b.score; });
  std::vector<bool> is_piece(is_known_.size());
  for (const auto& piece : pieces) {
    const std::u32string text = unicode::decode(piece.text);
    for (const char32_t c : text) is_known_[c] = true;
    if (text.size() == 1) is_piece[text[0]] = true;
  }
  for (char32_t c = 0; c <= kLastCodePoint; ++c) {
    if (!is_known_[c] || is_piece[c]) continue;
    all.push_back({unicode::encode({&c, 1}), rarest->score - kUnknownPenalty});
  }
  const auto status = processor_->LoadFromSerializedProto(write_unigram_model(all));
  if (!status.ok()) throw std::invalid_argument("sentencepiece: " + status.ToString());
}

Unigram::~Unigram() = default;

std::int32_t Unigram::id_of(std::u32string_view token) const {
  const std::string text = unicode::encode(token);
  const int id = processor_->PieceToId(text);
  const bool is_found = id >= 0 && static_cast<std::size_t>(id) < pieces_.size() &&
                        pieces_[static_cast<std::size_t>(id)] == text;
  return is_found ? id : -1;
}

/// The word's pieces from left to right.
std::vector<int> Unigram::cut(std::u32string_view word) const {
  std::vector<int> pieces;
  while (!word.empty()) {
    const auto is_known = [this](char32_t c) { return is_known_[c]; };
    const auto end = std::find_if_not(word.begin(), word.end(), is_known);
    const auto length = static_cast<std::size_t>(end - word.begin());
    if (length > 0) cut_known(word.substr(0, length), pieces);
    word.remove_prefix(length);
    if (word.empty()) break;
    pieces.push_back(kUnknownCharacter);
    word.remove_prefix(1);
  }
  return pieces;
}

/// The library's pieces after ours are those that add_characters() added.
std::int32_t Unigram::id_of_piece(int piece) const {
  const bool is_real = piece >= 0 && static_cast<std::size_t>(piece) < vocabulary_size_;
  return is_real ? piece : unknown_id_;
}

std::size_t Unigram::length_of(int piece) const {
  const bool is_real = piece >= 0 && static_cast<std::size_t>(piece) < vocabulary_size_;
  return is_real ? lengths_[static_cast<std::size_t>(piece)] : 1;
}

void Unigram::tokenize(std::u32string_view word, std::vector<std::int32_t>& ids) const {
  std::int32_t last = -1;
  for (const int piece : cut(word)) {
    const std::int32_t id = id_of_piece(piece);
    if (id != unknown_id_ || last != unknown_id_) ids.push_back(id);
    last = id;
  }
}

void Unigram::split(std::u32string_view word, std::vector<WordPart>& parts) const {
  std::size_t at = 0;
  std::int32_t last = -1;
  for (const int piece : cut(word)) {
    const std::int32_t id = id_of_piece(piece);
    const std::size_t end = at + length_of(piece);
    if (id == unknown_id_ && last == unknown_id_) {
      parts.back().end = end;
    } else {
      parts.push_back({id, at, end});
    }
    at = end;
    last = id;
  }
}

bool Unigram::read_alike_swapped(int left, int right) const {
  const auto size = static_cast<int>(vocabulary_size_);
  if (left >= size || right >= size) return false;
  const std::string& a = pieces_[static_cast<std::size_t>(left)];
  const std::string& b = pieces_[static_cast<std::size_t>(right)];
  return a.front() == b.front() && a + b == b + a;
}

/// "xx x" and "x xx" score the same. In double precision the second wins, for it is found first; in
/// the library's single precision rounding decides.
void Unigram::put_shorter_first(std::vector<int>& pieces) const {
  const auto swappable = [this](int a, int b) { return read_alike_swapped(a, b); };
  const auto is_shorter = [this](int a, int b) {
    return pieces_[static_cast<std::size_t>(a)].size() <
           pieces_[static_cast<std::size_t>(b)].size();
  };
  for (auto begin = pieces.begin(); begin != pieces.end();) {
    // All of a run are powers of one word: each of them can change places with each other.
    auto end = std::next(begin);
    while (end != pieces.end() && swappable(*std::prev(end), *end)) ++end;
    if (std::next(begin) != end) std::stable_sort(begin, end, is_shorter);
    begin = end;
  }
}

void Unigram::cut_known(std::u32string_view run, std::vector<int>& pieces) const {
  std::vector<int> found;
  // Cannot fail: the text is valid and all its characters are pieces.
  if (processor_->Encode(unicode::encode(run), &found).ok()) {
    put_shorter_first(found);
  } else {
    found.assign(run.size(), kUnknownCharacter);
  }
  pieces.insert(pieces.end(), found.begin(), found.end());
}

}  // namespace ml_worker
