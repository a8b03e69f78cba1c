// What waits to be sent on a connection, and in which order it goes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "distribution/control.h"

namespace ml_worker::distribution {

/// Messages as frames. With fragments in force a message over 64 KiB goes in pieces of that size,
/// in turn with the other large ones, and whatever is small goes between: a reply of 50 MB holds
/// up a tick or a small reply by the few pieces that are with the transport already. A message that
/// is all control term, or nearly so, is never cut and counts as small.
///
/// A small message overtakes large ones, never the other way round: the SPAWN_REPLY of a call is
/// out before the first piece of its DOWN.
class SendQueue {
 public:
  static constexpr std::size_t kFragmentBytes = 65536;
  static constexpr std::size_t kMaxBuffers = 64;  ///< what Asio passes to one system call

  explicit SendQueue(bool fragments) : fragments_(fragments) {}

  void push(OutMessage message);
  void push_tick();

  bool empty() const { return bytes_ == 0; }
  /// On the wire, headers included.
  std::size_t bytes() const { return bytes_; }

  /// What to write next, at most kMaxBuffers. The views hold until written() or clear().
  std::vector<ByteView> next();
  /// REQUIRES: not more than next() has given.
  void written(std::size_t count);
  void clear();

 private:
  /// A message that goes in fragments.
  struct Large {
    SharedBytes head;  ///< control term and what was written of the payload
    SharedBytes tail;  ///< may be nothing
    std::uint64_t sequence;
    std::uint64_t fragments;  ///< still to be sent
    std::size_t offset;       ///< of what is still to be sent, in head and tail
    std::uint64_t after;      ///< small bytes that were pushed before it
  };
  /// Messages that go whole, nothing in between: `tail` ends the last of them, or is nothing.
  struct Small {
    SharedBytes head;
    SharedBytes tail;
  };
  /// Bytes that go as they are: `view` into what the piece keeps alive.
  struct Piece {
    SharedBytes owner;
    ByteView view;
  };

  void push_small(Bytes head, SharedBytes tail);
  void push_large(Bytes control, TermParts payload);
  void choose();
  std::size_t choose_small();
  std::size_t choose_fragment();
  void choose_part(const SharedBytes& part, std::size_t begin, std::size_t end);
  bool large_is_due() const;

  bool fragments_;
  std::deque<Small> small_;
  std::shared_ptr<Bytes> open_;  ///< the last head of small_, if more may go into it
  std::deque<Large> large_;
  std::deque<Piece> chosen_;  ///< goes out in this order, whatever comes
  std::uint64_t small_pushed_ = 0;
  std::uint64_t small_chosen_ = 0;
  std::uint64_t last_sequence_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace ml_worker::distribution
