// What is written on standard error, for tests of log lines.
#pragma once

#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <functional>
#include <string>

namespace ml_worker::test {

/// What `action` writes on standard error (less than a pipe holds).
inline std::string standard_error_of(const std::function<void()>& action) {
  std::array<int, 2> ends{};
  REQUIRE(pipe(ends.data()) == 0);
  const int saved = dup(STDERR_FILENO);
  dup2(ends[1], STDERR_FILENO);
  close(ends[1]);
  action();
  dup2(saved, STDERR_FILENO);
  close(saved);
  std::string written;
  std::array<char, 4096> buffer{};
  for (ssize_t n = 0; (n = read(ends[0], buffer.data(), buffer.size())) > 0;) {
    written.append(buffer.data(), static_cast<std::size_t>(n));
  }
  close(ends[0]);
  return written;
}

}  // namespace ml_worker::test
