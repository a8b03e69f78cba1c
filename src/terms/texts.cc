#include "terms/texts.h"

#include <fmt/format.h>

#include <utility>

#include "ml_worker/utf8.h"
#include "terms/describe.h"

namespace ml_worker::terms {
namespace {

constexpr const char* kText = "a text (a UTF-8 binary or a list of code points)";

bool append_code_point(std::int64_t code_point, std::string& out) {
  return code_point >= 0 && code_point <= 0x10FFFF &&
         append_utf8(static_cast<std::uint32_t>(code_point), out);
}

/// Bytes in place of a list of small integers: code points up to 255.
Charlist from_latin1(std::string_view bytes, std::size_t max_bytes) {
  Charlist result;
  result.utf8.reserve(bytes.size());
  for (const char byte : bytes) append_code_point(static_cast<std::uint8_t>(byte), result.utf8);
  if (result.utf8.size() > max_bytes) result.over = result.utf8.size();
  return result;
}

Charlist from_code_points(Reader& reader, std::size_t length, std::size_t max_bytes) {
  Charlist result;
  for (std::size_t i = 0; i < length; ++i) {
    const TermType type = reader.type();
    const auto code_point = reader.read_integer();
    if (!code_point && type != TermType::integer) {
      result.problem = fmt::format("a list with {} in it", describe(type));
      return result;
    }
    if (!code_point || !append_code_point(*code_point, result.utf8)) {
      result.problem = "a list with an integer in it that is no code point";
      return result;
    }
    if (result.utf8.size() > max_bytes) {
      result.over = result.utf8.size() + (length - i - 1);
      return result;
    }
  }
  if (!reader.read_nil()) result.problem = "an improper list";
  return result;
}

/// A list whose first element is an integer.
bool is_code_point_list(Reader reader) {
  return reader.read_list() && reader.type() == TermType::integer;
}

/// Reads the texts of one argument of one call, and counts their bytes.
class TextReader {
 public:
  TextReader(Reader& reader, std::string argument, const RequestLimits& limits)
      : reader_(reader), argument_(std::move(argument)), limits_(limits) {}

  /// `position` counts from 1; 0: the text stands alone.
  Result<std::string> text(std::size_t position) {
    const TermType type = reader_.type();
    switch (type) {
      case TermType::binary:
        return binary_text(position);
      case TermType::string:
      case TermType::nil:
      case TermType::list:
        return charlist_text(position);
      default:
        return unexpected(kText, describe(type), position);
    }
  }

  /// A text, or a tuple of two.
  Result<Input> text_or_pair(std::size_t position) {
    if (reader_.type() != TermType::tuple) {
      auto one = text(position);
      if (!one) return one.error();
      return Input(std::move(*one));
    }
    if (const auto arity = reader_.read_tuple(); arity != 2) {
      return unexpected("a pair {A, B}", fmt::format("a tuple of {}", arity.value_or(0)), position);
    }
    auto first = text(position);
    if (!first) return first.error();
    auto second = text(position);
    if (!second) return second.error();
    return Input(std::move(*first), std::move(*second));
  }

  /// The elements of a list, each as `read(position)` gives it. REQUIRES: a list is next.
  template <typename Element, typename Read>
  Result<std::vector<Element>> list(Read read) {
    const std::size_t count = reader_.read_list().value_or(0);
    if (count > limits_.texts) return errors::too_large("texts", count, limits_.texts);
    std::vector<Element> elements;
    elements.reserve(count);
    for (std::size_t i = 1; i <= count; ++i) {
      auto one = read(i);
      if (!one) return one.error();
      elements.push_back(std::move(*one));
    }
    if (!reader_.read_nil()) return unexpected("a list of texts", "an improper list", 0);
    return elements;
  }

  Result<std::vector<std::string>> texts() {
    return list<std::string>([this](std::size_t position) { return text(position); });
  }

  Result<std::vector<Input>> inputs() {
    return list<Input>([this](std::size_t position) { return text_or_pair(position); });
  }

  /// The next ones read are of this argument; their bytes count with those before.
  void next_argument(std::string name) { argument_ = std::move(name); }

  Error unexpected(std::string_view expected, std::string_view got, std::size_t position) const {
    const auto place = position == 0 ? std::string() : fmt::format(" at position {}", position);
    return errors::bad_argument(argument_,
                                fmt::format("expected {}, got {}{}", expected, got, place));
  }

 private:
  Result<std::string> binary_text(std::size_t position) {
    const std::string_view bytes = reader_.read_binary().value_or("");
    if (bytes.size() > limits_.text_bytes) return too_long(bytes.size());
    if (!is_valid_utf8(bytes)) return unexpected(kText, "a binary that is not UTF-8", position);
    return counted(std::string(bytes));
  }

  Result<std::string> charlist_text(std::size_t position) {
    Charlist charlist = read_charlist(reader_, limits_.text_bytes);
    if (charlist.over > 0) return too_long(charlist.over);
    if (!charlist.problem.empty()) return unexpected(kText, charlist.problem, position);
    return counted(std::move(charlist.utf8));
  }

  Result<std::string> counted(std::string text) {
    call_bytes_ += text.size();
    if (call_bytes_ > limits_.call_bytes) {
      return errors::too_large("call", call_bytes_, limits_.call_bytes);
    }
    return text;
  }

  Error too_long(std::size_t got) const {
    return errors::too_large("text", got, limits_.text_bytes);
  }

  Reader& reader_;
  std::string argument_;
  const RequestLimits& limits_;
  std::size_t call_bytes_ = 0;
};

bool is_text(TermType type) {
  return type == TermType::binary || type == TermType::string || type == TermType::list;
}

/// A list that is no charlist.
bool is_list_of_texts(const Reader& reader) {
  return reader.type() == TermType::list && !is_code_point_list(reader);
}

/// `[]` is a list of none.
Result<TextOrTexts> read_side(Reader& reader, TextReader& texts) {
  if (reader.read_nil()) return TextOrTexts{};
  const TermType type = reader.type();
  if (is_list_of_texts(reader)) {
    auto list = texts.texts();
    if (!list) return list.error();
    return TextOrTexts{std::move(*list), false};
  }
  if (!is_text(type)) return texts.unexpected("a text or a list of texts", describe(type), 0);
  auto one = texts.text(0);
  if (!one) return one.error();
  return TextOrTexts{{std::move(*one)}, true};
}

Error not_a_list(const TextReader& texts, TermType type) {
  const char* got = type == TermType::list ? "a charlist" : describe(type);
  const char* advice = is_text(type) ? "; wrap it in a list: [Text]" : "";
  return texts.unexpected("a list of texts", fmt::format("{}{}", got, advice), 0);
}

}  // namespace

Charlist read_charlist(Reader& reader, std::size_t max_bytes) {
  if (const auto bytes = reader.read_string()) return from_latin1(*bytes, max_bytes);
  if (reader.read_nil()) return {};
  return from_code_points(reader, reader.read_list().value_or(0), max_bytes);
}

Result<std::vector<std::string>> read_texts(Reader& reader, const RequestLimits& limits) {
  TextReader texts(reader, "texts", limits);
  if (reader.read_nil()) return std::vector<std::string>();
  if (!is_list_of_texts(reader)) return not_a_list(texts, reader.type());
  return texts.texts();
}

Result<PredictInput> read_predict_input(Reader& reader, const RequestLimits& limits) {
  TextReader texts(reader, "input", limits);
  if (reader.read_nil()) return PredictInput{};
  const TermType type = reader.type();
  if (is_list_of_texts(reader)) {
    auto list = texts.inputs();
    if (!list) return list.error();
    return PredictInput{std::move(*list), false};
  }
  if (!is_text(type) && type != TermType::tuple) {
    return texts.unexpected("a text or a list of texts", describe(type), 0);
  }
  auto one = texts.text_or_pair(0);
  if (!one) return one.error();
  return PredictInput{{std::move(*one)}, true};
}

Result<std::pair<TextOrTexts, TextOrTexts>> read_similarity_sides(Reader& reader,
                                                                  const RequestLimits& limits) {
  TextReader texts(reader, "a", limits);
  auto first = read_side(reader, texts);
  if (!first) return first.error();
  texts.next_argument("b");
  auto second = read_side(reader, texts);
  if (!second) return second.error();
  return std::pair(std::move(*first), std::move(*second));
}

}  // namespace ml_worker::terms
