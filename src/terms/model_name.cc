#include "terms/model_name.h"

#include <algorithm>

#include "ml_worker/utf8.h"
#include "terms/describe.h"
#include "terms/texts.h"

namespace ml_worker::terms {
namespace {

constexpr std::size_t kMaxPartBytes = 96;
constexpr std::size_t kMaxCharlistBytes = 1024;

bool is_letter_or_digit(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool is_name_part(std::string_view part) {
  const auto fits = [](char c) {
    return is_letter_or_digit(c) || c == '.' || c == '_' || c == '-';
  };
  return !part.empty() && part.size() <= kMaxPartBytes && is_letter_or_digit(part.front()) &&
         std::all_of(part.begin(), part.end(), fits);
}

bool is_model_name(std::string_view name) {
  const std::size_t slash = name.find('/');
  if (slash == std::string_view::npos) return is_name_part(name);
  return is_name_part(name.substr(0, slash)) && is_name_part(name.substr(slash + 1));
}

Result<std::string> checked(std::string name) {
  if (!is_model_name(name)) return errors::unknown_model(name);
  return name;
}

Error no_name(const std::string& got) {
  return errors::bad_argument("model", "expected a name (binary, atom or charlist), got " + got);
}

Result<std::string> charlist_name(Reader& reader) {
  Charlist charlist = read_charlist(reader, kMaxCharlistBytes);
  if (!charlist.problem.empty()) return no_name(charlist.problem);
  return checked(std::move(charlist.utf8));
}

}  // namespace

bool is_unset(std::string_view atom) {
  return atom == "none" || atom == "nil" || atom == "undefined";
}

Result<std::string> read_model_name(Reader& reader) {
  if (auto atom = reader.read_atom()) {
    if (is_unset(*atom)) return std::string("default");
    return checked(std::move(*atom));
  }
  if (const auto binary = reader.read_binary()) return checked(std::string(*binary));
  switch (reader.type()) {
    case TermType::string:
    case TermType::list:
    case TermType::nil:
      return charlist_name(reader);
    default:
      return no_name(describe_value(reader));
  }
}

}  // namespace ml_worker::terms
