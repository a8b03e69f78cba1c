#include "tokenizer/bpe.h"

#include <algorithm>
#include <queue>
#include <stdexcept>
#include <tuple>

#include "ml_worker/utf8.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/unicode.h"

namespace ml_worker {
namespace {

std::uint64_t pair_key(std::int32_t left, std::int32_t right) {
  return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
}

}  // namespace

/// The symbols of a word as a doubly linked list, merged from the rule of the lowest rank on.
class Bpe::Word {
 public:
  explicit Word(std::size_t size) { symbols_.reserve(size); }

  /// A symbol that ends before byte `end` of the word.
  void add(std::int32_t id, std::size_t end) {
    const auto at = static_cast<std::ptrdiff_t>(symbols_.size());
    if (at > 0) symbols_.back().next = at;
    symbols_.push_back({id, static_cast<std::uint32_t>(end), at - 1, -1});
  }
  void lengthen_last(std::size_t end) { symbols_.back().end = static_cast<std::uint32_t>(end); }

  void merge_all(const Bpe& model) {
    for (std::size_t i = 0; i + 1 < symbols_.size(); ++i) propose(model, at(i));
    while (!candidates_.empty()) {
      const Candidate best = candidates_.top();
      candidates_.pop();
      if (is_current(model, best)) merge(model, best);
    }
  }

  /// Calls `take(id, begin, end)` for each symbol, with its bytes.
  template <typename Take>
  void for_each(Take take) const {
    std::size_t begin = 0;
    for (const Symbol& symbol : symbols_) {
      if (symbol.id < 0) continue;
      take(symbol.id, begin, symbol.end);
      begin = symbol.end;
    }
  }

 private:
  struct Symbol {
    std::int32_t id;  ///< -1 once it is part of the one before
    std::uint32_t end;
    std::ptrdiff_t previous;
    std::ptrdiff_t next;
  };
  struct Candidate {
    std::uint32_t rank;
    std::ptrdiff_t left;
    std::int32_t id;
    bool operator>(const Candidate& other) const {
      return std::tie(rank, left) > std::tie(other.rank, other.left);
    }
  };

  static std::ptrdiff_t at(std::size_t i) { return static_cast<std::ptrdiff_t>(i); }
  Symbol& symbol(std::ptrdiff_t i) { return symbols_[static_cast<std::size_t>(i)]; }

  const Merge* rule_at(const Bpe& model, std::ptrdiff_t left) {
    if (left < 0 || symbol(left).id < 0 || symbol(left).next < 0) return nullptr;
    return model.find_merge(symbol(left).id, symbol(symbol(left).next).id);
  }

  void propose(const Bpe& model, std::ptrdiff_t left) {
    if (const Merge* rule = rule_at(model, left)) candidates_.push({rule->rank, left, rule->id});
  }

  /// False if one of the two symbols has been merged with another in the meantime.
  bool is_current(const Bpe& model, const Candidate& candidate) {
    const Merge* rule = rule_at(model, candidate.left);
    return rule != nullptr && rule->id == candidate.id;
  }

  void merge(const Bpe& model, const Candidate& best) {
    Symbol& left = symbol(best.left);
    Symbol& right = symbol(left.next);
    left.id = best.id;
    left.end = right.end;
    right.id = -1;
    left.next = right.next;
    if (left.next >= 0) symbol(left.next).previous = best.left;
    propose(model, left.previous);
    propose(model, best.left);
  }

  std::vector<Symbol> symbols_;
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> candidates_;
};

Bpe::Bpe(const VocabularyEntries& vocabulary, const MergeRules& merges, const BpeOptions& options)
    : fuse_unknown_(options.fuse_unknown), ignore_merges_(options.ignore_merges) {
  for (const auto& [token, id] : vocabulary) {
    vocabulary_size_ = std::max(vocabulary_size_, static_cast<std::size_t>(id) + 1);
    ids_.insert_or_assign(token, id);
  }
  for (std::size_t byte = 0; byte < byte_ids_.size(); ++byte) {
    byte_ids_.at(byte) = id_of({&byte_characters().at(byte), 1});
  }
  if (options.unknown_token) unknown_id_ = id_of(*options.unknown_token);
  if (options.unknown_token && unknown_id_ < 0) {
    throw std::invalid_argument("the unknown token is not in the vocabulary");
  }
  merges_.reserve(merges.size());
  for (std::size_t i = 0; i < merges.size(); ++i) {
    add_merge(merges[i], static_cast<std::uint32_t>(i));
  }
}

void Bpe::add_merge(const std::pair<std::u32string, std::u32string>& rule, std::uint32_t rank) {
  const auto required = [this](const std::u32string& token) {
    const std::int32_t id = id_of(token);
    if (id < 0) {
      throw std::invalid_argument("merges: '" + unicode::encode(token) + "' is not in 'vocab'");
    }
    return id;
  };
  const std::uint64_t key = pair_key(required(rule.first), required(rule.second));
  merges_.insert_or_assign(key, Merge{rank, required(rule.first + rule.second)});
}

const Bpe::Merge* Bpe::find_merge(std::int32_t left, std::int32_t right) const {
  const auto found = merges_.find(pair_key(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

std::int32_t Bpe::id_of(std::u32string_view token) const {
  const auto found = ids_.find(token);
  return found == ids_.end() ? -1 : found->second;
}

std::int32_t Bpe::id_of_whole(std::string_view bytes) const {
  std::u32string token;
  for (const char byte : bytes) token += byte_characters().at(static_cast<std::uint8_t>(byte));
  return id_of(token);
}

Bpe::Word Bpe::initial_symbols(std::string_view bytes) const {
  Word word(bytes.size());
  bool after_unknown = false;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const std::int32_t id = byte_ids_.at(static_cast<std::uint8_t>(bytes[i]));
    const bool is_fused = after_unknown && fuse_unknown_;
    after_unknown = id < 0;
    if (id >= 0) {
      word.add(id, i + 1);
    } else if (unknown_id_ >= 0 && is_fused) {
      word.lengthen_last(i + 1);
    } else if (unknown_id_ >= 0) {
      word.add(unknown_id_, i + 1);
    }
  }
  return word;
}

Bpe::Word Bpe::merged(std::string_view bytes) const {
  if (ignore_merges_) {
    const std::int32_t whole = id_of_whole(bytes);
    if (whole >= 0) {
      Word word(1);
      word.add(whole, bytes.size());
      return word;
    }
  }
  Word word = initial_symbols(bytes);
  word.merge_all(*this);
  return word;
}

void Bpe::tokenize(std::u32string_view text, std::vector<std::int32_t>& ids) const {
  merged(unicode::encode(text))
      .for_each(
          [&](std::int32_t id, std::size_t /*begin*/, std::size_t /*end*/) { ids.push_back(id); });
}

void Bpe::split(std::u32string_view text, std::vector<WordPart>& parts) const {
  const std::string bytes = unicode::encode(text);
  std::vector<std::size_t> character_of;  // by byte
  for (std::size_t i = 0; i < text.size(); ++i) {
    character_of.resize(character_of.size() + utf8_length(text[i]), i);
  }
  merged(bytes).for_each([&](std::int32_t id, std::size_t begin, std::size_t end) {
    parts.push_back({id, character_of[begin], character_of[end - 1] + 1});
  });
}

}  // namespace ml_worker
