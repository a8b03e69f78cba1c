// What the fuzz targets share: the input as bytes, and a check that ends the run where it fails.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "ml_worker/terms.h"

namespace ml_worker::fuzz {

inline terms::ByteView view(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// Like assert(), in every build.
inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

/// Consumes bytes that steer a target from the front of its input.
class Dice {
 public:
  explicit Dice(terms::ByteView& input) : input_(input) {}
  std::uint8_t roll() {
    if (input_.empty()) return 0;
    const auto value = static_cast<std::uint8_t>(input_.front());
    input_ = input_.subspan(1);
    return value;
  }

 private:
  terms::ByteView& input_;
};

}  // namespace ml_worker::fuzz
