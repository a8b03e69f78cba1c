// Terms for tests, put together by hand or by the writer.
#pragma once

#include <functional>
#include <initializer_list>
#include <string>

#include "ml_worker/terms.h"

namespace ml_worker::terms::testing {

/// Bytes from numbers and texts: `bytes({131, 104, 1, "abc"})`.
struct Piece {
  Piece(int byte) : text(1, static_cast<char>(byte)) {}
  Piece(const char* chars) : text(chars) {}
  Piece(std::string chars) : text(std::move(chars)) {}
  std::string text;
};

inline std::string bytes(std::initializer_list<Piece> pieces) {
  std::string all;
  for (const Piece& piece : pieces) all += piece.text;
  return all;
}

inline ByteView view(const std::string& bytes) { return {bytes.data(), bytes.size()}; }

/// `body` as a whole term: with a version byte, nothing left over.
inline std::optional<ScannedTerm> scan_body(const std::string& versioned) {
  ByteView input = view(versioned);
  auto term = scan(input);
  if (term && !input.empty()) return std::nullopt;
  return term;
}

/// A term made by the writer, kept together with its bytes.
class Made {
 public:
  explicit Made(const std::function<void(Writer&)>& write) {
    Writer writer(bytes_);
    writer.version();
    write(writer);
  }
  explicit Made(const Bytes& term) : bytes_{static_cast<char>(131)} {
    bytes_.insert(bytes_.end(), term.begin(), term.end());
  }

  /// Throws std::bad_optional_access if the bytes are no term.
  ScannedTerm term() const {
    ByteView input(bytes_);
    const auto scanned = scan(input);
    if (!input.empty()) throw std::bad_optional_access();
    return scanned.value();
  }
  std::string text() const { return {bytes_.begin(), bytes_.end()}; }

 private:
  Bytes bytes_;
};

}  // namespace ml_worker::terms::testing
