#include "terms/describe.h"

#include <fmt/format.h>

#include "ml_worker/utf8.h"

namespace ml_worker::terms {
namespace {

constexpr std::size_t kMaxShownAtomBytes = 64;

}  // namespace

const char* describe(TermType type) {
  switch (type) {
    case TermType::atom:
      return "an atom";
    case TermType::integer:
      return "an integer";
    case TermType::floating:
      return "a float";
    case TermType::binary:
      return "a binary";
    case TermType::bitstring:
      return "a bitstring";
    case TermType::string:
      return "a charlist";
    case TermType::nil:
      return "an empty list";
    case TermType::list:
      return "a list";
    case TermType::tuple:
      return "a tuple";
    case TermType::map:
      return "a map";
    case TermType::pid:
      return "a pid";
    case TermType::reference:
      return "a reference";
    case TermType::port:
      return "a port";
    case TermType::fun:
      break;
  }
  return "a fun";
}

std::string describe_value(Reader reader) {
  const TermType type = reader.type();
  if (const auto number = reader.read_integer()) return fmt::format("the integer {}", *number);
  if (const auto name = reader.read_atom()) {
    return fmt::format("the atom {}", displayable_utf8(*name, kMaxShownAtomBytes));
  }
  return describe(type);
}

}  // namespace ml_worker::terms
