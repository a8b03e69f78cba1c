// Structured log lines on standard error, as text or as one JSON object a line.
//
// Texts, vectors and cookies are never logged. Bytes that came from a peer go through `printable`.
#pragma once

#include <exception>
#include <initializer_list>
#include <string>
#include <string_view>

namespace ml_worker::log {

enum class Level { debug, info, warning, error };
enum class Format { text, json };

struct Field {
  std::string_view key;
  std::string value;
};

/// Call once, before threads start. Lines below `threshold` are dropped.
void configure(Format format, Level threshold);

/// Thread safe. `message` is a constant sentence, what varies stands in the fields.
void write(Level level, std::string_view message, std::initializer_list<Field> fields = {});

inline void debug(std::string_view message, std::initializer_list<Field> fields = {}) {
  write(Level::debug, message, fields);
}
inline void info(std::string_view message, std::initializer_list<Field> fields = {}) {
  write(Level::info, message, fields);
}
inline void warning(std::string_view message, std::initializer_list<Field> fields = {}) {
  write(Level::warning, message, fields);
}
inline void error(std::string_view message, std::initializer_list<Field> fields = {}) {
  write(Level::error, message, fields);
}

/// `bytes` with everything but printable ASCII escaped as \xNN, cut to `limit` bytes of input.
std::string printable(std::string_view bytes, std::size_t limit = 128);

/// Runs `work`, for whoever must go on. False: it threw, and an error `message` says what.
template <typename Work>
bool contained(std::string_view message, const Work& work) {
  try {
    work();
    return true;
  } catch (const std::exception& exception) {
    error(message, {{"what", printable(exception.what())}});
  } catch (...) {
    error(message);
  }
  return false;
}

}  // namespace ml_worker::log
