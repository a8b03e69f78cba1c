#include "distribution/send_queue.h"

#include <algorithm>
#include <utility>

namespace ml_worker::distribution {
namespace {

constexpr char kVersion = static_cast<char>(131);
constexpr std::size_t kLengthBytes = 4;
constexpr std::size_t kFirstHeaderBytes = 19;
constexpr std::size_t kNextHeaderBytes = 18;

/// Enough to keep the transport busy; more would stand before the next small message.
constexpr std::size_t kChosenBytes = std::size_t{256} << 10;
/// Small messages between two fragments.
constexpr std::size_t kSmallTurnBytes = SendQueue::kFragmentBytes;
/// Small pieces below that share a buffer.
constexpr std::size_t kSharedBytes = 4096;

/// Only payloads are cut: a control term stands whole in the first fragment ("Distribution Header
/// for fragmented messages"), so a message whose control term does not fit there goes whole.
bool goes_in_fragments(const OutMessage& message) {
  if (!message.payload || message.control.size() > SendQueue::kFragmentBytes) return false;
  const TermParts& payload = *message.payload;
  return message.control.size() + payload.head.size() + payload.tail.size() >
         SendQueue::kFragmentBytes;
}

/// All but the payload's tail.
Bytes pass_through_head(const OutMessage& message) {
  Bytes head{'p', kVersion};
  put_bytes(head, message.control);
  if (!message.payload) return head;
  head.push_back(kVersion);
  put_bytes(head, message.payload->head);
  return head;
}

Bytes whole_head(const OutMessage& message) {
  Bytes head{kVersion, 'D', 0};
  put_bytes(head, message.control);
  if (message.payload) put_bytes(head, message.payload->head);
  return head;
}

/// Kept until its last piece is out.
std::shared_ptr<const Bytes> sent_once(Bytes bytes) {
  struct Sent {
    explicit Sent(Bytes moved) : bytes(std::move(moved)) {}
    ~Sent() { terms::recycle(std::move(bytes)); }
    Sent(const Sent&) = delete;
    Sent& operator=(const Sent&) = delete;
    Bytes bytes;
  };
  const auto sent = std::make_shared<Sent>(std::move(bytes));
  return {sent, &sent->bytes};
}

Bytes with_length(const Bytes& head, std::size_t tail_bytes) {
  Bytes out;
  out.reserve(kLengthBytes + head.size());
  put_number(out, kLengthBytes, head.size() + tail_bytes);
  put_bytes(out, head);
  return out;
}

Bytes fragment_head(bool first, std::uint64_t sequence, std::uint64_t fragment,
                    std::size_t content_bytes) {
  Bytes out;
  put_number(out, kLengthBytes, content_bytes + (first ? kFirstHeaderBytes : kNextHeaderBytes));
  out.push_back(kVersion);
  out.push_back(first ? 'E' : 'F');
  put_number(out, 8, sequence);
  put_number(out, 8, fragment);
  if (first) out.push_back(0);  // no atoms
  return out;
}

}  // namespace

void SendQueue::push(OutMessage message) {
  if (fragments_ && goes_in_fragments(message)) {
    return push_large(std::move(message.control), std::move(*message.payload));
  }
  Bytes tail = message.payload ? std::move(message.payload->tail) : Bytes{};
  push_small(
      with_length(fragments_ ? whole_head(message) : pass_through_head(message), tail.size()));
  if (!tail.empty()) push_small(std::move(tail));
}

void SendQueue::push_tick() { push_small(Bytes(kLengthBytes, 0)); }

void SendQueue::push_small(Bytes bytes) {
  bytes_ += bytes.size();
  small_pushed_ += bytes.size();
  if (!small_.empty() && bytes.size() < kSharedBytes && small_.back().size() < kSharedBytes) {
    return put_bytes(small_.back(), bytes);
  }
  small_.push_back(std::move(bytes));
}

void SendQueue::push_large(Bytes control, TermParts payload) {
  put_bytes(control, payload.head);
  Large large{std::make_shared<const Bytes>(std::move(control)),
              sent_once(std::move(payload.tail)),
              ++last_sequence_,
              0,
              0,
              small_pushed_};
  const std::size_t total = large.head->size() + large.tail->size();
  large.fragments = (total + kFragmentBytes - 1) / kFragmentBytes;
  bytes_ += total + kLengthBytes + kFirstHeaderBytes +
            (large.fragments - 1) * (kLengthBytes + kNextHeaderBytes);
  large_.push_back(std::move(large));
}

std::vector<ByteView> SendQueue::next() {
  if (chosen_.empty()) choose();
  std::vector<ByteView> views;
  const std::size_t count = std::min(chosen_.size(), kMaxBuffers);
  views.reserve(count);
  for (std::size_t i = 0; i < count; ++i) views.push_back(chosen_[i].view);
  return views;
}

void SendQueue::written(std::size_t count) {
  bytes_ -= count;
  while (!chosen_.empty() && count >= chosen_.front().view.size()) {
    count -= chosen_.front().view.size();
    chosen_.pop_front();
  }
  if (count > 0) chosen_.front().view = chosen_.front().view.subspan(count);
}

void SendQueue::clear() {
  small_.clear();
  large_.clear();
  chosen_.clear();
  bytes_ = 0;
}

void SendQueue::choose() {
  std::size_t chosen = 0;
  while (chosen < kChosenBytes && !(small_.empty() && large_.empty())) {
    chosen += choose_small();
    if (large_is_due()) chosen += choose_fragment();
  }
}

bool SendQueue::large_is_due() const {
  return !large_.empty() && small_chosen_ >= large_.front().after;
}

std::size_t SendQueue::choose_small() {
  std::size_t taken = 0;
  while (!small_.empty() && taken < kSmallTurnBytes) {
    const auto owner = std::make_shared<const Bytes>(std::move(small_.front()));
    small_.pop_front();
    taken += owner->size();
    chosen_.push_back({owner, *owner});
  }
  small_chosen_ += taken;
  return taken;
}

/// The next fragment of the large message whose turn it is; then it is another's.
std::size_t SendQueue::choose_fragment() {
  Large large = std::move(large_.front());
  large_.pop_front();
  const std::size_t total = large.head->size() + large.tail->size();
  const std::size_t begin = large.offset;
  const std::size_t end = std::min(total, begin + kFragmentBytes);
  const auto header = std::make_shared<const Bytes>(
      fragment_head(begin == 0, large.sequence, large.fragments, end - begin));
  chosen_.push_back({header, *header});
  const std::size_t head = large.head->size();
  choose_part(large.head, std::min(begin, head), std::min(end, head));
  choose_part(large.tail, std::max(begin, head) - head, std::max(end, head) - head);
  large.offset = end;
  if (--large.fragments > 0) large_.push_back(std::move(large));
  return header->size() + end - begin;
}

void SendQueue::choose_part(const std::shared_ptr<const Bytes>& part, std::size_t begin,
                            std::size_t end) {
  if (begin < end) chosen_.push_back({part, ByteView(*part).subspan(begin, end - begin)});
}

}  // namespace ml_worker::distribution
