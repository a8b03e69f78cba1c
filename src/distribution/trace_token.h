// The token of seq_trace: what is sent because of a message that carries one carries its successor.
#pragma once

#include <cstdint>
#include <optional>

#include "distribution/wire.h"

namespace ml_worker::distribution {

/// `{Flags, Label, Serial, From, Previous}`, as a process has it that was sent one.
class TraceToken {
 public:
  /// A label may be any term; the token of one with a long label is not kept.
  static constexpr std::size_t kMaxBytes = 512;

  /// Nothing where `term` is none, or a long one.
  static std::optional<TraceToken> parse(terms::ScannedTerm term);

  /// The token of the next message that `sender` sends: a term without version byte.
  Bytes next(ByteView sender);

 private:
  std::int64_t flags_ = 0;
  Bytes label_;
  std::int64_t serial_ = 0;
};

}  // namespace ml_worker::distribution
