#include "distribution/trace_token.h"

namespace ml_worker::distribution {

std::optional<TraceToken> TraceToken::parse(terms::ScannedTerm term) {
  constexpr std::int64_t kLargestSerial = std::int64_t{1} << 58U;  // of a small integer, with room
  if (term.bytes().size() > kMaxBytes) return std::nullopt;
  terms::Reader in(term);
  if (in.read_tuple() != std::size_t{5}) return std::nullopt;
  const auto flags = in.read_integer();
  const ByteView label = in.read_raw();
  const auto serial = in.read_integer();
  if (!flags || !serial || *serial < 0 || *serial > kLargestSerial) return std::nullopt;
  TraceToken token;
  token.flags_ = *flags;
  token.label_.assign(label.begin(), label.end());
  token.serial_ = *serial;
  return token;
}

Bytes TraceToken::next(ByteView sender) {
  const std::int64_t previous = serial_++;
  Bytes term;
  terms::Writer out(term);
  out.tuple(5);
  out.integer(flags_);
  out.raw(label_);
  out.integer(serial_);
  out.raw(sender);
  out.integer(previous);
  return term;
}

}  // namespace ml_worker::distribution
