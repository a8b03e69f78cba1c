#include <sys/mman.h>

#include <memory>
#include <mutex>
#include <utility>

#include "ml_worker/terms.h"

namespace ml_worker::terms {
namespace {

constexpr std::size_t kLargePage = std::size_t{2} << 20;
constexpr std::size_t kLarge = 4 * kLargePage;
constexpr std::size_t kMostKept = std::size_t{128} << 20;

/// The large pages that lie inside a buffer; nothing if there are none.
std::span<char> large_pages(Bytes& bytes) {
  void* first = bytes.data();
  std::size_t room = bytes.capacity();
  if (std::align(kLargePage, kLargePage, first, room) == nullptr) return {};
  return {static_cast<char*>(first), room / kLargePage * kLargePage};
}

/// A hint: where it is refused all is the same but slower, or larger.
void advise(Bytes& bytes, int advice) {
  if (const auto pages = large_pages(bytes); !pages.empty()) {
    ::madvise(pages.data(), pages.size(), advice);
  }
}

/// The one buffer that is kept.
class Spare {
 public:
  Bytes take(std::size_t size) {
    const std::lock_guard lock(mutex_);
    return bytes_.capacity() < size ? Bytes() : std::exchange(bytes_, {});
  }

  void give(Bytes bytes) {
    const std::lock_guard lock(mutex_);
    if (bytes_.capacity() < bytes.capacity()) bytes_.swap(bytes);
  }

 private:
  std::mutex mutex_;
  Bytes bytes_;
};

Spare& spare() {
  static Spare one;
  return one;
}

}  // namespace

Bytes buffer_for(std::size_t size) {
  if (size < kLarge) {
    Bytes bytes;
    bytes.reserve(size);
    return bytes;
  }
  Bytes bytes = spare().take(size);
  if (bytes.capacity() > 0) return bytes;
  bytes.reserve(size);
  advise(bytes, MADV_HUGEPAGE);
  return bytes;
}

void recycle(Bytes bytes) {
  if (bytes.capacity() < kLarge || bytes.capacity() > kMostKept) return;
  bytes.clear();
  // Whoever needs memory more may have it: what the pages hold is worth nothing.
  advise(bytes, MADV_FREE);
  spare().give(std::move(bytes));
}

}  // namespace ml_worker::terms
