#include "terms/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bitset>
#include <limits>
#include <string>
#include <utility>

#include "ml_worker/utf8.h"
#include "terms/describe.h"
#include "terms/model_name.h"

namespace ml_worker::terms {
namespace {

constexpr std::size_t kMaxWordBytes = 256;
/// The longest time that erpc takes, about 49 days; more could not be added to a clock safely.
constexpr std::int64_t kMaxTimeoutMs = std::numeric_limits<std::uint32_t>::max();
/// A request id of 128 bytes, a blank and a `traceparent` fit.
constexpr std::size_t kMaxTraceBytes = 255;
constexpr std::int64_t kMaxDimensions = std::numeric_limits<std::int32_t>::max();

/// A key or an enumerated value.
struct Word {
  std::string text;
  bool atom = false;
};

std::optional<Word> read_word(Reader& reader) {
  if (auto atom = reader.read_atom()) return Word{std::move(*atom), true};
  const auto binary = reader.read_binary();
  if (!binary) return std::nullopt;
  return Word{std::string(binary->substr(0, kMaxWordBytes)), false};
}

/// none, nil or undefined: the option as if it had not been given.
bool skip_unset(Reader& reader) {
  Reader ahead = reader;
  const auto atom = ahead.read_atom();
  if (!atom || !is_unset(*atom)) return false;
  reader = ahead;
  return true;
}

std::optional<bool> read_boolean(Reader& reader) {
  const auto word = read_word(reader);
  if (word && word->text == "true") return true;
  if (word && word->text == "false") return false;
  return std::nullopt;
}

template <bool EncodeOptions::*kField>
bool read_flag(Reader& reader, EncodeOptions& options) {
  const auto flag = read_boolean(reader);
  if (flag) options.*kField = *flag;
  return flag.has_value();
}

bool read_normalize(Reader& reader, EncodeOptions& options) {
  if (skip_unset(reader)) return true;
  options.normalize = read_boolean(reader);
  return options.normalize.has_value();
}

bool read_format(Reader& reader, EncodeOptions& options) {
  static constexpr std::array<std::pair<std::string_view, VectorFormat>, 4> kFormats = {{
      {"list", VectorFormat::list},
      {"binary", VectorFormat::binary},
      {"base64", VectorFormat::base64},
      {"json", VectorFormat::json},
  }};
  const auto word = read_word(reader);
  if (!word) return false;
  for (const auto& [name, format] : kFormats) {
    if (word->text != name) continue;
    options.format = format;
    return true;
  }
  return false;
}

bool read_truncation_side(Reader& reader, EncodeOptions& options) {
  if (skip_unset(reader)) return true;
  const auto word = read_word(reader);
  if (word && word->text == "right") options.truncation_side = TruncationSide::right;
  if (word && word->text == "left") options.truncation_side = TruncationSide::left;
  return options.truncation_side.has_value();
}

bool read_dimensions(Reader& reader, EncodeOptions& options) {
  if (skip_unset(reader)) return true;
  const auto count = reader.read_integer();
  if (!count || *count < 1 || *count > kMaxDimensions) return false;
  options.dimensions = static_cast<std::size_t>(*count);
  return true;
}

bool read_timeout(Reader& reader, EncodeOptions& options) {
  if (skip_unset(reader)) return true;
  Reader ahead = reader;
  if (ahead.read_atom() == "infinity") {
    reader = ahead;
    return true;
  }
  const auto milliseconds = reader.read_integer();
  if (!milliseconds || *milliseconds < 0 || *milliseconds > kMaxTimeoutMs) return false;
  options.timeout = std::chrono::milliseconds(*milliseconds);
  return true;
}

/// A prompt's name; its length is bounded as that of every word is.
bool read_prompt(Reader& reader, EncodeOptions& options) {
  if (skip_unset(reader)) return true;
  const auto word = read_word(reader);
  if (word && is_valid_utf8(word->text)) options.prompt = word->text;
  return options.prompt.has_value();
}

bool read_priority(Reader& reader, EncodeOptions& options) {
  const auto word = read_word(reader);
  if (!word || (word->text != "interactive" && word->text != "bulk")) return false;
  options.priority = word->text == "bulk" ? Priority::bulk : Priority::interactive;
  return true;
}

/// No quote, line end or escape is among them: what stands in a log cannot be taken for another
/// line or field.
bool may_stand_in_a_trace(char c) {
  const bool is_alphanumeric = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
  return is_alphanumeric || std::string_view(" ._~:/+=@-").find(c) != std::string_view::npos;
}

bool read_trace(Reader& reader, EncodeOptions& options) {
  if (skip_unset(reader)) return true;
  const auto text = reader.read_binary();
  if (!text || text->empty() || text->size() > kMaxTraceBytes) return false;
  if (!std::all_of(text->begin(), text->end(), may_stand_in_a_trace)) return false;
  options.trace = *text;
  return true;
}

struct Option {
  std::string_view name;
  std::string_view expected;
  bool (*read)(Reader&, EncodeOptions&);  ///< false: not a value of this option
};

/// Sorted by name, as info() lists them.
constexpr std::array<Option, 13> kOptions = {{
    {"dimensions", "an integer from 1 to the model's dimensions", read_dimensions},
    {"fingerprint", "true or false", read_flag<&EncodeOptions::fingerprint>},
    {"format", "list, binary, base64 or json", read_format},
    {"normalize", "true or false", read_normalize},
    {"pieces", "true or false", read_flag<&EncodeOptions::pieces>},
    {"priority", "interactive or bulk", read_priority},
    {"prompt", "the name of one of the model's prompts", read_prompt},
    {"timeout_ms", "an integer from 0 to 4294967295", read_timeout},
    {"timings", "true or false", read_flag<&EncodeOptions::timings>},
    {"trace", "a binary of 1 to 255 letters, digits, blanks and ._~:/+=@-", read_trace},
    {"truncate", "true or false", read_flag<&EncodeOptions::truncate>},
    {"truncation_side", "right or left", read_truncation_side},
    {"usage", "true or false", read_flag<&EncodeOptions::usage>},
}};

/// An unknown key comes back as it was sent: an atom that the caller already has, or a binary, for
/// which no VM must make a new atom.
Error unknown_option(const Word& key) {
  std::string names;
  for (const Option& option : kOptions) names += fmt::format(" {}", option.name);
  const std::string shown = displayable_utf8(key.text);
  Value name = key.atom ? atom(key.text) : Value(shown);
  return {ErrorKind::bad_argument,
          tuple({atom("bad_argument"), std::move(name),
                 fmt::format("expected one of the options{}, got {}", names, shown)})};
}

/// Collects options one by one; later ones of the same name are passed over.
class Collector {
 public:
  explicit Collector(Reader& reader) : reader_(reader) {}

  const EncodeOptions& options() const { return options_; }

  std::optional<Error> key_and_value() {
    const std::string got = describe(reader_.type());
    const auto key = read_word(reader_);
    if (!key) {
      return errors::bad_argument("opts",
                                  "expected option names that are atoms or binaries, got " + got);
    }
    return value_of(*key, reader_);
  }

  /// `usage` alone is `{usage, true}`.
  std::optional<Error> bare_atom(std::string name) {
    static constexpr std::string_view kTrue = "\x83\x77\x04true";
    ByteView bytes(kTrue.data(), kTrue.size());
    Reader value(*scan(bytes));
    return value_of(Word{std::move(name), true}, value);
  }

 private:
  std::optional<Error> value_of(const Word& key, Reader& value) {
    const auto* const option = std::find_if(kOptions.begin(), kOptions.end(),
                                            [&](const Option& o) { return o.name == key.text; });
    if (option == kOptions.end()) return unknown_option(key);
    const auto index = static_cast<std::size_t>(option - kOptions.begin());
    if (seen_.test(index)) {
      value.read_raw();
      return std::nullopt;
    }
    seen_.set(index);
    const Reader given = value;
    if (option->read(value, options_)) return std::nullopt;
    return errors::bad_argument(
        key.text, fmt::format("expected {}, got {}", option->expected, describe_value(given)));
  }

  Reader& reader_;
  EncodeOptions options_;
  std::bitset<kOptions.size()> seen_;
};

Error no_options(std::string_view expected, std::string_view got) {
  return errors::bad_argument("opts", fmt::format("expected {}, got {}", expected, got));
}

std::optional<Error> read_entry(Reader& reader, Collector& collector, std::size_t position) {
  if (auto name = reader.read_atom()) return collector.bare_atom(std::move(*name));
  const TermType type = reader.type();
  if (reader.read_tuple() == 2) return collector.key_and_value();
  return no_options("{Name, Value} or an atom",
                    fmt::format("{} at position {}", describe(type), position));
}

Result<EncodeOptions> read_proplist(Reader& reader, std::size_t length) {
  Collector collector(reader);
  for (std::size_t i = 1; i <= length; ++i) {
    if (auto error = read_entry(reader, collector, i)) return *error;
  }
  if (!reader.read_nil()) return no_options("a map or a proplist", "an improper list");
  return collector.options();
}

Result<EncodeOptions> read_option_map(Reader& reader, std::size_t pairs) {
  Collector collector(reader);
  for (std::size_t i = 0; i < pairs; ++i) {
    if (auto error = collector.key_and_value()) return *error;
  }
  return collector.options();
}

}  // namespace

Result<EncodeOptions> read_options(Reader& reader) {
  if (const auto pairs = reader.read_map()) return read_option_map(reader, *pairs);
  if (const auto length = reader.read_list()) return read_proplist(reader, *length);
  if (reader.read_nil()) return EncodeOptions();
  return no_options("a map or a proplist", describe_value(reader));
}

}  // namespace ml_worker::terms
