#include "tokenizer/pipeline.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "ml_worker/utf8.h"
#include "tokenizer/unicode.h"

namespace ml_worker {
namespace {

/// A text is worked on in pieces of about this many code points, so that one which is cut after a
/// few hundred tokens does not cost its whole length.
constexpr std::size_t kChunk = 2048;

using Match = AddedTokens::Match;

std::vector<AddedToken> raw_tokens(const std::vector<AddedToken>& tokens) {
  std::vector<AddedToken> result;
  std::copy_if(tokens.begin(), tokens.end(), std::back_inserter(result),
               [](const AddedToken& token) { return !token.normalized; });
  return result;
}

/// Tokens to be found in normalised text are normalised themselves.
std::vector<AddedToken> normalized_tokens(const std::vector<AddedToken>& tokens,
                                          const Normalizer& normalizer) {
  std::vector<AddedToken> result;
  for (AddedToken token : tokens) {
    if (!token.normalized) continue;
    std::u32string content;
    normalizer.normalize(token.content, content);
    token.content = std::move(content);
    result.push_back(std::move(token));
  }
  return result;
}

bool may_cross_blank(const AddedToken& token) {
  const auto begin =
      std::find_if_not(token.content.begin(), token.content.end(), unicode::is_white_space);
  return token.rstrip || token.single_word ||
         std::any_of(begin, token.content.end(), unicode::is_white_space);
}

bool end_at_blanks(const std::vector<AddedToken>& tokens) {
  return std::none_of(tokens.begin(), tokens.end(), [](const AddedToken& token) {
    return token.normalized && may_cross_blank(token);
  });
}

bool is_ascii_alphanumeric(char32_t c) {
  return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

std::size_t vocabulary_size_of(const PipelineParts& parts) {
  std::size_t size = parts.model->vocabulary_size();
  for (const AddedToken& token : parts.added_tokens) {
    size = std::max(size, static_cast<std::size_t>(token.id) + 1);
  }
  return size;
}

/// Calls `plain` for each stretch between added tokens and `added` for each of them, while `more`.
template <typename Plain, typename Added, typename More>
void for_each_part(const AddedTokens& tokens, std::u32string_view text, Plain plain, Added added,
                   More more) {
  for (std::size_t at = 0; at < text.size() && more();) {
    const auto match = tokens.next(text, at);
    if (match.begin > at) plain(text.substr(at, match.begin - at));
    if (match.id >= 0 && more()) added(match);
    at = match.end;
  }
}

std::map<std::int32_t, std::string> names_of(const std::vector<AddedToken>& tokens) {
  std::map<std::int32_t, std::string> names;
  for (const AddedToken& token : tokens) names.emplace(token.id, unicode::encode(token.content));
  return names;
}

void cut(std::vector<std::int32_t>& ids, std::size_t room, TruncationSide side) {
  if (ids.size() <= room) return;
  const auto excess = static_cast<std::ptrdiff_t>(ids.size() - room);
  if (side == TruncationSide::right) {
    ids.erase(ids.end() - excess, ids.end());
  } else {
    ids.erase(ids.begin(), ids.begin() + excess);
  }
}

void append(const std::vector<std::int32_t>& from, std::vector<std::int32_t>& to) {
  to.insert(to.end(), from.begin(), from.end());
}

/// How many tokens of two texts are kept. The shorter one stays whole while it has no more than its
/// half; of an odd room the one more token goes to the longer one (to the second of equal ones).
std::pair<std::size_t, std::size_t> longest_first(std::size_t first, std::size_t second,
                                                  std::size_t room) {
  if (first + second <= room) return {first, second};
  const bool swapped = first > second;
  std::size_t shorter = std::min(first, second);
  std::size_t longer = shorter > room ? shorter : std::max(shorter, room - shorter);
  if (shorter + longer > room) {
    shorter = room / 2;
    longer = room - shorter;
  }
  return swapped ? std::pair(longer, shorter) : std::pair(shorter, longer);
}

std::size_t special_tokens(const PairTemplate& pair) {
  return pair.before.size() + pair.between.size() + pair.after.size();
}

}  // namespace

PipelineTokenizer::PipelineTokenizer(PipelineParts parts)
    : vocabulary_size_(vocabulary_size_of(parts)),
      normalizer_(std::move(parts.normalizer)),
      pre_tokenizer_(std::move(parts.pre_tokenizer)),
      model_(std::move(parts.model)),
      template_(std::move(parts.sequence_template)),
      pair_template_(std::move(parts.pair_template)),
      added_names_(names_of(parts.added_tokens)),
      trims_blanks_(parts.trims_blanks),
      keeps_first_blank_(parts.keeps_first_blank),
      raw_tokens_(raw_tokens(parts.added_tokens)),
      normalized_tokens_(normalized_tokens(parts.added_tokens, *normalizer_)),
      tokens_end_at_blanks_(end_at_blanks(parts.added_tokens)) {}

Tokens PipelineTokenizer::encode(std::string_view text, std::size_t max_tokens,
                                 TruncationSide side) const {
  const std::size_t special = template_.before.size() + template_.after.size();
  const std::size_t room = max_tokens - std::min(max_tokens, special);
  Progress progress =
      encode_until(unicode::decode(text), side == TruncationSide::right ? room : SIZE_MAX);

  Tokens tokens;
  tokens.closing = template_.after.size();
  tokens.given = progress.ids.size() + special;
  tokens.given_is_lower_bound = progress.full();
  cut(progress.ids, room, side);
  tokens.ids.reserve(progress.ids.size() + special);
  append(template_.before, tokens.ids);
  append(progress.ids, tokens.ids);
  append(template_.after, tokens.ids);
  return tokens;
}

Tokens PipelineTokenizer::encode_pair(std::string_view first, std::string_view second,
                                      std::size_t max_tokens, TruncationSide side) const {
  const PairTemplate& pair = *pair_template_;
  const std::size_t special = special_tokens(pair);
  const std::size_t room = max_tokens - std::min(max_tokens, special);
  const std::u32string texts[] = {unicode::decode(first), unicode::decode(second)};
  const std::size_t stop_after = side == TruncationSide::right ? room : SIZE_MAX;
  Progress a = encode_until(texts[0], stop_after);
  Progress b = encode_until(texts[1], stop_after);
  // Which one is the longer decides about the last token of an odd room.
  if (a.full() && b.full() && room % 2 == 1) {
    a = encode_until(texts[0], SIZE_MAX);
    b = encode_until(texts[1], SIZE_MAX);
  }

  Tokens tokens;
  tokens.given = a.ids.size() + b.ids.size() + special;
  tokens.given_is_lower_bound = a.full() || b.full();
  tokens.closing = pair.after.size();
  const auto [keep_first, keep_second] = longest_first(a.ids.size(), b.ids.size(), room);
  cut(a.ids, keep_first, side);
  cut(b.ids, keep_second, side);
  append(pair.before, tokens.ids);
  append(a.ids, tokens.ids);
  if (pair.first_types) tokens.second_start = tokens.ids.size() + *pair.first_types;
  append(pair.between, tokens.ids);
  append(b.ids, tokens.ids);
  append(pair.after, tokens.ids);
  return tokens;
}

PipelineTokenizer::Progress PipelineTokenizer::encode_until(std::u32string_view text,
                                                            std::size_t stop_after) const {
  Progress progress{{}, stop_after};
  encode_text(text, progress);
  return progress;
}

void PipelineTokenizer::encode_text(std::u32string_view text, Progress& progress) const {
  for_each_part(
      raw_tokens_, text, [&](std::u32string_view part) { encode_plain(part, progress); },
      [&](const Match& match) { progress.ids.push_back(match.id); },
      [&] { return !progress.full(); });
}

void PipelineTokenizer::encode_plain(std::u32string_view text, Progress& progress) const {
  while (!text.empty() && !progress.full()) {
    const std::size_t length = chunk_length(text);
    encode_chunk(text.substr(0, length), progress);
    text.remove_prefix(length);
  }
}

std::size_t PipelineTokenizer::chunk_length(std::u32string_view text) const {
  for (std::size_t i = kChunk; i < text.size(); ++i) {
    if (is_boundary(text[i - 1], text[i])) return i;
  }
  return text.size();
}

bool PipelineTokenizer::is_boundary(char32_t before, char32_t after) const {
  const bool is_end_of_word = after == ' ' && is_ascii_alphanumeric(before);
  const bool cuts_no_token =
      normalized_tokens_.empty() || (tokens_end_at_blanks_ && is_end_of_word);
  return cuts_no_token && normalizer_->is_boundary(before, after) &&
         pre_tokenizer_->is_boundary(before, after);
}

void PipelineTokenizer::encode_chunk(std::u32string_view chunk, Progress& progress) const {
  std::u32string normalized;
  normalized.reserve(chunk.size());
  normalizer_->normalize(chunk, normalized);
  for_each_part(
      normalized_tokens_, normalized,
      [&](std::u32string_view part) { encode_normalized(part, progress); },
      [&](const Match& match) { progress.ids.push_back(match.id); },
      [&] { return !progress.full(); });
}

void PipelineTokenizer::encode_normalized(std::u32string_view text, Progress& progress) const {
  std::u32string storage;
  std::vector<std::u32string_view> words;
  pre_tokenizer_->split(pre_tokenizer_->prepare(text, storage), words);
  for (const auto word : words) {
    if (progress.full()) return;
    model_->tokenize(word, progress.ids);
  }
}

// ---- Pieces -------------------------------------------------------------------------------------

/// Collects pieces by their places in code points, and tells those in bytes.
class PipelineTokenizer::PieceList {
 public:
  explicit PieceList(std::u32string_view text) {
    bytes_before_.reserve(text.size() + 1);
    std::size_t bytes = 0;
    for (const char32_t c : text) {
      bytes_before_.push_back(bytes);
      bytes += utf8_length(c);
    }
    bytes_before_.push_back(bytes);
  }

  void add(std::int32_t id, std::size_t begin, std::size_t end) {
    pieces_.push_back({id, bytes_before_[begin], bytes_before_[end], std::nullopt});
  }
  void add_special(std::int32_t id, std::string name) {
    pieces_.push_back({id, 0, 0, std::move(name)});
  }
  std::vector<Piece> take() { return std::move(pieces_); }

 private:
  std::vector<std::size_t> bytes_before_;
  std::vector<Piece> pieces_;
};

std::vector<Piece> PipelineTokenizer::pieces(std::string_view text) const {
  const std::u32string decoded = unicode::decode(text);
  PieceList list(decoded);
  const auto add_specials = [&](const std::vector<std::int32_t>& ids) {
    for (const std::int32_t id : ids) {
      const auto name = added_names_.find(id);
      list.add_special(id, name == added_names_.end() ? "" : name->second);
    }
  };
  const auto plain = [&](std::u32string_view part) {
    plain_pieces(part, static_cast<std::size_t>(part.data() - decoded.data()), list);
  };
  AlignedText itself;
  itself.append(decoded, 0);
  const auto added = [&](const Match& match) { add_match(match, decoded, itself.origin, 0, list); };
  add_specials(template_.before);
  for_each_part(raw_tokens_, decoded, plain, added, [] { return true; });
  add_specials(template_.after);
  return list.take();
}

/// White space that a token has swallowed is trimmed too.
void PipelineTokenizer::add_match(const Match& match, std::u32string_view text,
                                  std::span<const std::size_t> origin, std::size_t at,
                                  PieceList& list) const {
  std::size_t begin = match.begin;
  std::size_t end = match.end;
  const auto is_blank = [&](std::size_t i) { return unicode::is_white_space(text[i]); };
  while (trims_blanks_ && begin + 1 < end && is_blank(begin)) ++begin;
  while (trims_blanks_ && begin + 1 < end && is_blank(end - 1)) --end;
  list.add(match.id, at + origin[begin], at + origin[end - 1] + 1);
}

/// What stands between added tokens, from code point `at` of the whole on.
void PipelineTokenizer::plain_pieces(std::u32string_view text, std::size_t at,
                                     PieceList& list) const {
  AlignedText normal;
  normalizer_->normalize_aligned(text, normal);
  const std::span<const std::size_t> origin(normal.origin);
  const auto plain = [&](std::u32string_view part) {
    const auto begin = static_cast<std::size_t>(part.data() - normal.text.data());
    word_pieces(part, origin.subspan(begin, part.size()), at, list);
  };
  const auto added = [&](const Match& match) { add_match(match, normal.text, origin, at, list); };
  for_each_part(normalized_tokens_, normal.text, plain, added, [] { return true; });
}

/// Of normalised text; `origin`: its places in the plain text, which begins at `at`.
void PipelineTokenizer::word_pieces(std::u32string_view text, std::span<const std::size_t> origin,
                                    std::size_t at, PieceList& list) const {
  AlignedText prepared;
  pre_tokenizer_->prepare_aligned(text, prepared);
  const auto place = [&](std::size_t i) { return at + origin[prepared.origin[i]]; };
  std::vector<std::u32string_view> words;
  pre_tokenizer_->split(prepared.text, words);
  std::vector<WordPart> parts;
  for (const auto word : words) {
    const auto first = static_cast<std::size_t>(word.data() - prepared.text.data());
    parts.clear();
    model_->split(word, parts);
    for (const WordPart& part : parts) {
      std::size_t begin = first + part.begin;
      std::size_t end = first + part.end;
      const bool keeps_blank = keeps_first_blank_ && place(begin) == 0;
      while (trims_blanks_ && begin < end && prepared.text[begin] == U' ') ++begin;
      if (trims_blanks_ && keeps_blank && begin > first + part.begin) --begin;
      while (trims_blanks_ && begin < end && prepared.text[end - 1] == U' ') --end;
      // Of nothing but blanks: the end of them.
      const std::size_t from = begin < first + part.end ? place(begin) : place(begin - 1) + 1;
      list.add(part.id, from, begin < end ? place(end - 1) + 1 : from);
    }
  }
}

}  // namespace ml_worker
