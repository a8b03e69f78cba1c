// Who goes next: the policy of the queue as a pure function of what waits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "ml_worker/batching.h"

namespace ml_worker {

/// What the policy sees of a waiting text.
struct Waiting {
  const Encoder* encoder;
  std::size_t tokens;
  EncoderOutput output = EncoderOutput::vectors;
  Priority priority = Priority::interactive;
  /// Tokens that its caller has been given, or has waiting, before this text, from where the line
  /// stood when the caller joined it. Whoever has less goes first: so callers share evenly.
  std::uint64_t share = 0;
  Clock::time_point due{};  ///< its deadline, or a late one in place of none
};

/// What the policy knows besides.
struct Turn {
  std::size_t batch_tokens = 2048;     ///< budget
  std::size_t idle_lanes = 1;          ///< that look for work, this one included
  std::size_t interactive_tokens = 0;  ///< computed since bulk work had its last turn
};

/// Indices (ascending) of the texts that make the next batch; empty only if `queue` is.
///
/// - One class: interactive texts if there are any, but after four budgets of them bulk has a turn.
/// - Order: by share; texts within one budget of the line's head are equal in that and go by
///   deadline, the earliest first. The first in this order is always taken, so none starves.
/// - One encoder and one kind of output: the first text's.
/// - Then every text that still fits, in this order. A text longer than the budget goes alone.
/// - What is less than a budget is divided between idle lanes, down to batches of 256 tokens.
std::vector<std::size_t> select_batch(std::span<const Waiting> queue, const Turn& turn);

}  // namespace ml_worker
