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

std::size_t size_of(const SharedBytes& bytes) { return bytes ? bytes->size() : 0; }

/// Only payloads are cut: a control term stands whole in the first fragment ("Distribution Header
/// for fragmented messages"), so a message whose control term does not fit there goes whole.
bool goes_in_fragments(const OutMessage& message) {
  if (!message.payload || message.control.size() > SendQueue::kFragmentBytes) return false;
  return message.control.size() + message.payload->size() > SendQueue::kFragmentBytes;
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
  const ByteView tail = message.payload ? message.payload->tail_bytes() : ByteView{};
  Bytes bytes =
      with_length(fragments_ ? whole_head(message) : pass_through_head(message), tail.size());
  if (tail.size() >= kSharedBytes) {
    return push_small(std::move(bytes), std::move(message.payload->tail));
  }
  put_bytes(bytes, tail);
  push_small(std::move(bytes), nullptr);
}

void SendQueue::push_tick() { push_small(Bytes(kLengthBytes, 0), nullptr); }

void SendQueue::push_small(Bytes head, SharedBytes tail) {
  const std::size_t bytes = head.size() + size_of(tail);
  bytes_ += bytes;
  small_pushed_ += bytes;
  if (open_ && head.size() < kSharedBytes && open_->size() < kSharedBytes) {
    put_bytes(*open_, head);
    small_.back().tail = std::move(tail);
  } else {
    open_ = std::make_shared<Bytes>(std::move(head));
    small_.push_back({open_, std::move(tail)});
  }
  if (small_.back().tail) open_.reset();
}

void SendQueue::push_large(Bytes control, TermParts payload) {
  put_bytes(control, payload.head);
  const std::size_t total = control.size() + payload.tail_bytes().size();
  Large large{std::make_shared<const Bytes>(std::move(control)),
              std::move(payload.tail),
              ++last_sequence_,
              0,
              0,
              small_pushed_};
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
  open_.reset();
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
    const Small small = std::move(small_.front());
    small_.pop_front();
    choose_part(small.head, 0, size_of(small.head));
    choose_part(small.tail, 0, size_of(small.tail));
    taken += size_of(small.head) + size_of(small.tail);
  }
  if (small_.empty()) open_.reset();
  small_chosen_ += taken;
  return taken;
}

/// The next fragment of the large message whose turn it is; then it is another's.
std::size_t SendQueue::choose_fragment() {
  Large large = std::move(large_.front());
  large_.pop_front();
  const std::size_t head = large.head->size();
  const std::size_t total = head + size_of(large.tail);
  const std::size_t begin = large.offset;
  const std::size_t end = std::min(total, begin + kFragmentBytes);
  const auto header = std::make_shared<const Bytes>(
      fragment_head(begin == 0, large.sequence, large.fragments, end - begin));
  chosen_.push_back({header, *header});
  choose_part(large.head, std::min(begin, head), std::min(end, head));
  choose_part(large.tail, std::max(begin, head) - head, std::max(end, head) - head);
  large.offset = end;
  if (--large.fragments > 0) large_.push_back(std::move(large));
  return header->size() + end - begin;
}

void SendQueue::choose_part(const SharedBytes& part, std::size_t begin, std::size_t end) {
  if (begin < end) chosen_.push_back({part, ByteView(*part).subspan(begin, end - begin)});
}

}  // namespace ml_worker::distribution
