#include "distribution/stack_trace.h"

namespace ml_worker::distribution {
namespace {

using terms::Reader;
using terms::ScannedTerm;

constexpr std::size_t kMaxEchoedArguments = 1024;  ///< bytes

}  // namespace

std::optional<std::size_t> list_length(ScannedTerm term) {
  Reader in(term);
  if (in.read_nil()) return 0;
  if (const auto text = in.read_string()) return text->size();
  const auto length = in.read_list();
  if (!length) return std::nullopt;
  for (std::size_t i = 0; i < *length; ++i) in.read_raw();
  return in.read_nil() ? length : std::nullopt;
}

terms::Bytes stack_trace(const std::string& module, const std::string& function,
                         ScannedTerm arguments, bool echo_arguments) {
  terms::Bytes out;
  terms::Writer stack(out);
  stack.list(1);
  stack.tuple(4);
  stack.atom(module);
  stack.atom(function);
  if (echo_arguments && arguments.bytes().size() < kMaxEchoedArguments) {
    stack.raw(arguments.bytes());
  } else {
    stack.integer(static_cast<std::int64_t>(list_length(arguments).value_or(0)));
  }
  stack.nil();
  stack.nil();
  return out;
}

}  // namespace ml_worker::distribution
