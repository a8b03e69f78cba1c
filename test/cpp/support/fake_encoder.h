// The model's double: deterministic vectors from token ids, and everything that can go wrong with
// a device, on command. With a tokenizer that splits at blanks.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <limits>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "ml_worker/encoder.h"

namespace ml_worker::test {

/// Words between blanks, as ids from their hash; 1 before and 2 after. Texts over twice the limit
/// are not read to their end.
class FakeTokenizer : public Tokenizer {
 public:
  static constexpr std::int32_t kFirst = 1;
  static constexpr std::int32_t kLast = 2;

  static std::int32_t id_of(std::string_view word) {
    return static_cast<std::int32_t>(3 + std::hash<std::string_view>{}(word) % 30000);
  }

  Tokens encode(std::string_view text, std::size_t max_tokens, TruncationSide side) const override {
    Tokens tokens;
    std::vector<std::int32_t> words = split(text, 2 * max_tokens, tokens.given_is_lower_bound);
    tokens.given = words.size() + 2;
    const std::size_t keep = std::min(words.size(), max_tokens - 2);
    const std::size_t from = side == TruncationSide::left ? words.size() - keep : 0;
    tokens.ids.push_back(kFirst);
    for (std::size_t i = 0; i < keep; ++i) tokens.ids.push_back(words[from + i]);
    tokens.ids.push_back(kLast);
    tokens.closing = 1;
    return tokens;
  }

  /// The words with their places between "[" and "]".
  std::vector<Piece> pieces(std::string_view text) const override {
    std::vector<Piece> found = {{kFirst, 0, 0, "["}};
    std::size_t at = 0;
    while ((at = text.find_first_not_of(' ', at)) != std::string_view::npos) {
      const std::size_t end = std::min(text.find(' ', at), text.size());
      found.push_back({id_of(text.substr(at, end - at)), at, end, std::nullopt});
      at = end;
    }
    found.push_back({kLast, 0, 0, "]"});
    return found;
  }

  bool takes_pairs() const override { return true; }
  /// kFirst, the first text's words, kLast, the second's, kLast; cut from the second one.
  Tokens encode_pair(std::string_view first, std::string_view second, std::size_t max_tokens,
                     TruncationSide side) const override {
    Tokens tokens = encode(first, max_tokens - 1, side);
    const Tokens rest = encode(second, max_tokens + 1 - tokens.ids.size(), side);
    tokens.second_start = tokens.ids.size();
    tokens.given += rest.given - 1;
    tokens.ids.insert(tokens.ids.end(), rest.ids.begin() + 1, rest.ids.end());
    return tokens;
  }

  std::size_t vocabulary_size() const override { return 30003; }

 private:
  static std::vector<std::int32_t> split(std::string_view text, std::size_t limit, bool& cut) {
    std::vector<std::int32_t> words;
    std::size_t at = 0;
    while ((at = text.find_first_not_of(' ', at)) != std::string_view::npos) {
      if (words.size() == limit) {
        cut = true;
        break;
      }
      const std::size_t end = std::min(text.find(' ', at), text.size());
      words.push_back(id_of(text.substr(at, end - at)));
      at = end;
    }
    return words;
  }
};

class FakeEncoder : public Encoder {
 public:
  explicit FakeEncoder(std::string name = "all-MiniLM-L6-v2", std::size_t dimensions = 8,
                       std::size_t max_tokens = 16, bool normalizes = true) {
    description_.name = std::move(name);
    description_.dimensions = dimensions;
    description_.max_tokens = max_tokens;
    description_.normalizes = normalizes;
    description_.model_id = "id-of-" + description_.name;
    description_.numerics = "float32/fake/cpu";
    description_.weight_bytes = 1000;
    description_.token_dimensions = dimensions;
  }
  // Nobody may be left waiting in forward().
  ~FakeEncoder() override { open(); }

  const ModelDescription& description() const override { return description_; }
  const Tokenizer& tokenizer() const override { return tokenizer_; }
  ModelDescription& change_description() { return description_; }

  /// Of one text, before a Normalize.
  static std::vector<float> raw_vector(std::span<const std::int32_t> ids, std::size_t dimensions) {
    std::uint64_t state = 88172645463325252ULL;
    for (const std::int32_t id : ids) state = state * 6364136223846793005ULL + std::uint64_t(id);
    std::vector<float> vector;
    for (std::size_t i = 0; i < dimensions; ++i) {
      state = state * 6364136223846793005ULL + 1442695040888963407ULL;
      vector.push_back(static_cast<float>(state >> 40U) / 8388608.0F - 1.0F);
    }
    return vector;
  }

  void forward(std::span<const EncoderInput> inputs, EncoderOutput output,
               std::span<float> rows) override {
    enter();
    ++forwards;
    forward_thread_ = std::this_thread::get_id();
    for (const auto& input : inputs) throw_on_bad_token(input.ids);
    if (!inputs.empty()) {
      last_second_start = inputs.back().second_start;
      last_unpooled = inputs.back().unpooled;
    }
    auto out = rows.begin();
    for (const auto& input : inputs) {
      out = output == EncoderOutput::vectors ? write_vector(input.ids, out)
                                             : write_tokens(input.ids, out);
      ++computed_texts;
      computed_tokens += input.ids.size();
    }
  }

  std::size_t replicas() const override { return replica_count; }
  std::vector<DeviceStatus> devices() const override { return device_status; }

  /// From now on forward() waits at its beginning until open().
  void close() {
    const std::lock_guard lock(mutex_);
    open_ = false;
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  /// One forward pass, of those that wait or the next, goes through the closed door.
  void let_one_through() {
    const std::lock_guard lock(mutex_);
    ++through_;
    changed_.notify_all();
  }
  /// Returns when `count` forward passes wait at the closed door.
  void wait_until_held(int count = 1) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return held_ >= count; });
  }

  void fail_on(std::string_view word) { add(failing_, word); }
  void not_finite_on(std::string_view word) { add(not_finite_, word); }
  void fail_never() {
    const std::lock_guard lock(mutex_);
    failing_.clear();
    not_finite_.clear();
    fail_always = false;
  }

  /// The thread of the last forward().
  std::thread::id forward_thread() const { return forward_thread_; }

  std::size_t replica_count = 1;  ///< all of them this one: forward() is thread safe
  std::vector<DeviceStatus> device_status;
  std::atomic<bool> fail_always{false};
  std::atomic<float> drift{0.0F};  ///< added to the first element
  std::atomic<std::size_t> forwards{0};
  std::atomic<std::size_t> computed_texts{0};
  /// Of the last input of the last forward().
  std::atomic<std::size_t> last_second_start{0};
  std::atomic<std::size_t> last_unpooled{0};
  std::atomic<std::size_t> computed_tokens{0};

 private:
  using Out = std::span<float>::iterator;

  Out write_vector(std::span<const std::int32_t> ids, Out out) {
    return std::copy_n(row(ids).begin(), description_.dimensions, out);
  }

  /// A token's vector is that of a text of the token alone.
  Out write_tokens(std::span<const std::int32_t> ids, Out out) {
    for (std::size_t i = 0; i < ids.size(); ++i) out = write_vector(ids.subspan(i, 1), out);
    return out;
  }

  void enter() {
    std::unique_lock lock(mutex_);
    ++held_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_ || through_ > 0; });
    if (!open_) --through_;
    --held_;
  }

  void add(std::set<std::int32_t>& ids, std::string_view word) {
    const std::lock_guard lock(mutex_);
    ids.insert(FakeTokenizer::id_of(word));
  }

  bool has_any(const std::set<std::int32_t>& ids, std::span<const std::int32_t> text) {
    const std::lock_guard lock(mutex_);
    return std::any_of(text.begin(), text.end(), [&](auto id) { return ids.count(id) > 0; });
  }

  void throw_on_bad_token(std::span<const std::int32_t> text) {
    if (fail_always) throw EncoderError("device lost");
    if (has_any(failing_, text)) throw EncoderError("bad token");
  }

  std::vector<float> row(std::span<const std::int32_t> text) {
    std::vector<float> vector = raw_vector(text, description_.dimensions);
    vector[0] += drift;
    if (has_any(not_finite_, text)) vector.back() = std::numeric_limits<float>::quiet_NaN();
    return vector;
  }

  std::atomic<std::thread::id> forward_thread_;
  ModelDescription description_;
  FakeTokenizer tokenizer_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = true;
  int held_ = 0;
  int through_ = 0;
  std::set<std::int32_t> failing_;
  std::set<std::int32_t> not_finite_;
};

}  // namespace ml_worker::test
