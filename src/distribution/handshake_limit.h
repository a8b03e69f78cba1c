// How many handshakes may be under way, and how fast an address may begin them: what those who have
// not proved that they know the cookie can cost.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>

#include "distribution/asio.h"

namespace ml_worker::distribution {

struct HandshakeLimits {
  std::size_t at_once = 0;              ///< of all addresses; one may have half of them
  std::size_t per_second = 0;           ///< of one address; after a pause ten times as many
  std::size_t per_second_in_total = 0;  ///< likewise
};

/// Who shares a budget: an IPv4 address, or the 64 bits of an IPv6 network, whose owner has all the
/// addresses in it.
std::string handshake_source(const asio::ip::address& address);

/// An allowance that refills evenly and holds ten seconds' worth.
class TokenBucket {
 public:
  using Clock = std::chrono::steady_clock;

  TokenBucket(std::size_t per_second, Clock::time_point now);

  bool take(Clock::time_point now);
  void give_back();
  bool is_full(Clock::time_point now) const;

 private:
  double tokens_at(Clock::time_point now) const;

  double per_second_;
  double capacity_;
  double tokens_;
  Clock::time_point refilled_;
};

/// Handshakes that prove the cookie are not counted against the rates, so a cluster that restarts
/// is as fast as it can. Where too many are under way the oldest of the source that has the most
/// gives way to the new one: a genuine one takes milliseconds, those that fill the table wait for
/// nothing.
class HandshakeLimiter {
 public:
  using Clock = TokenBucket::Clock;
  using Ticket = std::uint64_t;

  struct Admission {
    std::optional<Ticket> ticket;  ///< nothing: over a rate
    std::optional<Ticket> evicted;
  };

  HandshakeLimiter(const HandshakeLimits& limits, Clock::time_point now);

  /// An evicted ticket has ended.
  Admission begin(const std::string& source, Clock::time_point now);
  /// Tickets that have ended are ignored.
  void end(Ticket ticket, bool proved);

 private:
  struct Source {
    TokenBucket bucket;
    std::set<Ticket> under_way;
  };

  Source& source(const std::string& name, Clock::time_point now);
  std::optional<Ticket> make_room(const Source& from);
  const Source& busiest() const;

  HandshakeLimits limits_;
  TokenBucket total_;
  std::unordered_map<std::string, Source> sources_;
  std::map<Ticket, Source*> tickets_;
  Ticket last_ = 0;
};

}  // namespace ml_worker::distribution
