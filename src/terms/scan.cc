#include <vector>

#include "ml_worker/terms.h"
#include "terms/token.h"

namespace ml_worker::terms {
namespace {

/// A container whose elements are being passed.
struct Open {
  std::size_t left;  ///< elements still to come
  std::size_t end;   ///< where it must end; 0: wherever its elements do
};

/// Passes over one term token by token. The stack is explicit and grows with the nesting that is
/// really there, so neither deep nor lying terms cost more than their own bytes.
class Walk {
 public:
  Walk(ByteView bytes, const ScanLimits& limits) : bytes_(bytes), limits_(limits) {}

  std::optional<std::size_t> term_end() {
    do {
      if (!step()) return std::nullopt;
    } while (!open_.empty());
    return at_;
  }

 private:
  bool step() {
    if (++elements_ > limits_.elements) return false;
    const auto token = read_token(bytes_.subspan(at_));
    if (!token) return false;
    const std::size_t end = token->extent == 0 ? 0 : at_ + token->extent;
    at_ += token->bytes;
    if (token->children > 0) return enter({token->children, end});
    return (end == 0 || end == at_) && leave();
  }

  bool enter(Open container) {
    // Every element has at least one byte: a count over that lies.
    if (container.left > bytes_.size() - at_ || open_.size() >= limits_.depth) return false;
    open_.push_back(container);
    return true;
  }

  /// A term has ended, and with it every container of which it is the last element.
  bool leave() {
    while (!open_.empty() && --open_.back().left == 0) {
      if (open_.back().end != 0 && open_.back().end != at_) return false;
      open_.pop_back();
    }
    return true;
  }

  ByteView bytes_;
  const ScanLimits& limits_;
  std::size_t at_ = 0;
  std::size_t elements_ = 0;
  std::vector<Open> open_;
};

}  // namespace

std::optional<ScannedTerm> scan(ByteView& input, const ScanLimits& limits) {
  if (input.empty() || input.front() != kVersion) return std::nullopt;
  ByteView rest = input.subspan(1);
  const auto term = scan_bare(rest, limits);
  if (term) input = rest;
  return term;
}

std::optional<ScannedTerm> scan_bare(ByteView& input, const ScanLimits& limits) {
  const auto size = Walk(input, limits).term_end();
  if (!size) return std::nullopt;
  const ScannedTerm term(input.first(*size));
  input = input.subspan(*size);
  return term;
}

}  // namespace ml_worker::terms
