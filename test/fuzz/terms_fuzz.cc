// The scan, and libei behind it: of what the scan lets pass the reader reads every term.
#include "fuzz.h"

namespace {

using namespace ml_worker::terms;
using ml_worker::fuzz::require;

/// Moves past one term, or into it if it is a container; says how many terms follow that.
std::size_t step(Reader& reader) {
  switch (reader.type()) {
    case TermType::atom:
      return reader.read_atom().has_value() ? 0 : (reader.read_raw(), 0);
    case TermType::binary:
      return reader.read_binary().has_value() ? 0 : (reader.read_raw(), 0);
    case TermType::string:
      return reader.read_string().has_value() ? 0 : (reader.read_raw(), 0);
    case TermType::integer:
      return reader.read_integer().has_value() ? 0 : (reader.read_raw(), 0);
    case TermType::floating:
      return reader.read_float().has_value() ? 0 : (reader.read_raw(), 0);
    case TermType::tuple:
      return *reader.read_tuple();
    case TermType::map:
      return 2 * *reader.read_map();
    case TermType::list:
      return *reader.read_list() + 1;
    case TermType::nil:
      return reader.read_nil() ? 0 : (reader.read_raw(), 0);
    default:
      return reader.read_raw().empty() ? 1 : 0;
  }
}

void walk(const ScannedTerm& term) {
  Reader reader(term);
  std::size_t expected = 1;
  while (expected > 0) {
    require(!reader.at_end(), "all terms that a container has are there");
    expected = expected - 1 + step(reader);
  }
  require(reader.at_end(), "nothing stands behind the last term");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ByteView input = ml_worker::fuzz::view(data, size);
  const std::size_t before = input.size();
  const auto term = scan(input, {64, 100000});
  require(term || input.size() == before, "nothing is consumed of what is no term");
  if (!term) return 0;
  require(term->bytes().size() + 1 + input.size() == before, "a term is what was consumed");
  walk(*term);
  return 0;
}
