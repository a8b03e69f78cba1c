#include "ml_worker/error.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

#include "ml_worker/utf8.h"

namespace ml_worker {

std::string_view name_of(ErrorKind kind) {
  static constexpr std::array<std::string_view, 10> kNames = {
      "undef",     "bad_argument", "unknown_model",     "model_failed", "too_long",
      "too_large", "overloaded",   "deadline_exceeded", "unhealthy",    "draining"};
  return kNames.at(static_cast<std::size_t>(kind));
}

namespace errors {
namespace {

using Milliseconds = std::chrono::milliseconds;

/// Names that travel as atoms. Any other name came from a caller and travels as a binary: the
/// receiving VM never frees an atom, so a caller that invents names must not make any.
constexpr std::array<std::string_view, 39> kArgumentAtoms = {"a",
                                                             "args",
                                                             "arguments",
                                                             "b",
                                                             "call",
                                                             "dimensions",
                                                             "element",
                                                             "fingerprint",
                                                             "format",
                                                             "frame",
                                                             "function",
                                                             "input",
                                                             "model",
                                                             "models",
                                                             "module",
                                                             "name",
                                                             "normalize",
                                                             "options",
                                                             "opts",
                                                             "pair",
                                                             "pairs",
                                                             "pieces",
                                                             "priority",
                                                             "prompt",
                                                             "queue",
                                                             "reply",
                                                             "request",
                                                             "similarities",
                                                             "text",
                                                             "texts",
                                                             "timeout",
                                                             "timeout_ms",
                                                             "timings",
                                                             "tokens",
                                                             "trace",
                                                             "truncate",
                                                             "truncation_side",
                                                             "usage",
                                                             "value"};

constexpr std::size_t kMaxWhatBytes = 1024;

Value argument_name(const std::string& argument) {
  const bool ours =
      std::find(kArgumentAtoms.begin(), kArgumentAtoms.end(), argument) != kArgumentAtoms.end();
  if (ours) return atom(argument);
  return displayable_utf8(argument);
}

Value text(std::string_view what) { return displayable_utf8(what, kMaxWhatBytes); }

}  // namespace

Error undef() { return {ErrorKind::undef, atom("undef")}; }

Error bad_argument(const std::string& argument, const std::string& what) {
  return {ErrorKind::bad_argument,
          tuple({atom("bad_argument"), argument_name(argument), text(what)})};
}

Error unknown_model(const std::string& name) {
  return {ErrorKind::unknown_model, tuple({atom("unknown_model"), displayable_utf8(name)})};
}

Error model_failed(const std::string& model, const std::string& what) {
  return {ErrorKind::model_failed,
          tuple({atom("model_failed"), displayable_utf8(model), text(what)})};
}

Error too_long(std::size_t index, std::size_t tokens, bool at_least, std::size_t limit) {
  Value given = at_least ? tuple({atom("at_least"), tokens}) : Value(tokens);
  return {ErrorKind::too_long, tuple({atom("too_long"), index, std::move(given), limit})};
}

Error too_large(const std::string& what, std::size_t got, std::size_t limit) {
  return {ErrorKind::too_large, tuple({atom("too_large"), argument_name(what), got, limit})};
}

Error overloaded(Milliseconds retry_after) {
  const auto wait = static_cast<std::int64_t>(std::max(retry_after, Milliseconds{1}).count());
  return {ErrorKind::overloaded, tuple({atom("overloaded"), wait})};
}

Error deadline_exceeded() { return {ErrorKind::deadline_exceeded, atom("deadline_exceeded")}; }

Error unhealthy(const std::string& what) {
  return {ErrorKind::unhealthy, tuple({atom("unhealthy"), text(what)})};
}

Error draining() { return {ErrorKind::draining, atom("draining")}; }

}  // namespace errors
}  // namespace ml_worker
