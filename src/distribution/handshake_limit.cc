#include "distribution/handshake_limit.h"

#include <algorithm>

namespace ml_worker::distribution {
namespace {

constexpr std::size_t kMaxSources = 4096;
constexpr const char* kAllOthers = "";  // share one budget once the table is full
constexpr double kBurstSeconds = 10;

}  // namespace

std::string handshake_source(const asio::ip::address& address) {
  if (address.is_v4()) return address.to_string();
  auto bytes = address.to_v6().to_bytes();
  if (address.to_v6().is_v4_mapped()) {
    return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()).to_string();
  }
  std::fill(bytes.begin() + 8, bytes.end(), 0);
  return asio::ip::address_v6(bytes).to_string() + "/64";
}

TokenBucket::TokenBucket(std::size_t per_second, Clock::time_point now)
    : per_second_(static_cast<double>(per_second)),
      capacity_(per_second_ * kBurstSeconds),
      tokens_(capacity_),
      refilled_(now) {}

double TokenBucket::tokens_at(Clock::time_point now) const {
  const std::chrono::duration<double> passed = now - refilled_;
  return std::min(capacity_, tokens_ + passed.count() * per_second_);
}

bool TokenBucket::take(Clock::time_point now) {
  tokens_ = tokens_at(now);
  refilled_ = now;
  if (tokens_ < 1) return false;
  tokens_ -= 1;
  return true;
}

void TokenBucket::give_back() { tokens_ = std::min(capacity_, tokens_ + 1); }

bool TokenBucket::is_full(Clock::time_point now) const { return tokens_at(now) >= capacity_; }

HandshakeLimiter::HandshakeLimiter(const HandshakeLimits& limits, Clock::time_point now)
    : limits_(limits), total_(limits.per_second_in_total, now) {}

HandshakeLimiter::Admission HandshakeLimiter::begin(const std::string& name,
                                                    Clock::time_point now) {
  Source& from = source(name, now);
  // In this order: one source over its rate takes nothing from the others.
  if (!from.bucket.take(now) || !total_.take(now)) return {};
  const auto evicted = make_room(from);
  if (evicted) end(*evicted, false);
  const Ticket ticket = ++last_;
  from.under_way.insert(ticket);
  tickets_.emplace(ticket, &from);
  return {ticket, evicted};
}

void HandshakeLimiter::end(Ticket ticket, bool proved) {
  const auto known = tickets_.find(ticket);
  if (known == tickets_.end()) return;
  Source& from = *known->second;
  from.under_way.erase(ticket);
  tickets_.erase(known);
  if (!proved) return;
  from.bucket.give_back();
  total_.give_back();
}

HandshakeLimiter::Source& HandshakeLimiter::source(const std::string& name, Clock::time_point now) {
  if (const auto known = sources_.find(name); known != sources_.end()) return known->second;
  if (sources_.size() >= kMaxSources) {
    std::erase_if(sources_, [now](auto& entry) {
      return entry.second.under_way.empty() && entry.second.bucket.is_full(now);
    });
  }
  const std::string& shared = sources_.size() >= kMaxSources ? kAllOthers : name;
  return sources_.try_emplace(shared, Source{TokenBucket(limits_.per_second, now), {}})
      .first->second;
}

std::optional<HandshakeLimiter::Ticket> HandshakeLimiter::make_room(const Source& from) {
  const std::size_t of_one = std::max<std::size_t>(1, limits_.at_once / 2);
  if (from.under_way.size() >= of_one) return *from.under_way.begin();
  if (tickets_.size() < limits_.at_once) return std::nullopt;
  return *busiest().under_way.begin();
}

/// Of those that have the most, the one whose oldest is the oldest.
/// REQUIRES: a handshake is under way.
const HandshakeLimiter::Source& HandshakeLimiter::busiest() const {
  const auto less = [](const auto& one, const auto& other) {
    const auto& a = one.second.under_way;
    const auto& b = other.second.under_way;
    return a.size() != b.size() ? a.size() < b.size() : !a.empty() && *a.begin() > *b.begin();
  };
  return std::ranges::max_element(sources_, less)->second;
}

}  // namespace ml_worker::distribution
