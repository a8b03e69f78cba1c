#include "ml_worker/log.h"

#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <chrono>
#include <nlohmann/json.hpp>

#include "ml_worker/utf8.h"

namespace ml_worker::log {
namespace {

constexpr const char* kLoggerName = "ml_worker";

std::atomic<Format> current_format{Format::text};

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::debug:
      return spdlog::level::debug;
    case Level::info:
      return spdlog::level::info;
    case Level::warning:
      return spdlog::level::warn;
    case Level::error:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

std::string_view level_name(Level level) {
  switch (level) {
    case Level::debug:
      return "debug";
    case Level::info:
      return "info";
    case Level::warning:
      return "warning";
    case Level::error:
      return "error";
  }
  return "error";
}

/// A function-local static, so that lines written before configure() (or by static objects) have
/// somewhere to go.
spdlog::logger& logger() {
  static const std::shared_ptr<spdlog::logger> instance = [] {
    auto made = std::make_shared<spdlog::logger>(kLoggerName,
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%v");
    made->flush_on(spdlog::level::trace);
    return made;
  }();
  return *instance;
}

std::string timestamp() {
  using std::chrono::duration_cast;
  const auto since_epoch = std::chrono::system_clock::now().time_since_epoch();
  const auto millis = duration_cast<std::chrono::milliseconds>(since_epoch).count();
  const auto seconds = static_cast<std::time_t>(millis / 1000);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900,
                     utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                     millis % 1000);
}

bool needs_quotes(std::string_view value) {
  return value.empty() || value.find_first_of(" =\"") != std::string_view::npos;
}

/// A line is one line whatever the value holds: control characters would let a value forge lines.
std::string one_line(std::string_view value) {
  std::string escaped;
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) {
      escaped += fmt::format("\\x{:02x}", byte);
    } else {
      if (c == '"') escaped += '\\';
      escaped += c;
    }
  }
  return needs_quotes(value) ? '"' + escaped + '"' : escaped;
}

std::string text_line(Level level, std::string_view message, std::initializer_list<Field> fields) {
  std::string line = fmt::format("{} {:<7} {}", timestamp(), level_name(level), message);
  for (const Field& field : fields) {
    line += fmt::format(" {}={}", field.key,
                        one_line(displayable_utf8(field.value, field.value.size())));
  }
  return line;
}

std::string json_line(Level level, std::string_view message, std::initializer_list<Field> fields) {
  nlohmann::ordered_json line = {
      {"time", timestamp()}, {"level", level_name(level)}, {"message", message}};
  for (const Field& field : fields) line[std::string(field.key)] = field.value;
  return line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

void configure(Format format, Level threshold) {
  current_format = format;
  logger().set_level(to_spdlog(threshold));
}

void write(Level level, std::string_view message, std::initializer_list<Field> fields) {
  const auto severity = to_spdlog(level);
  if (!logger().should_log(severity)) return;
  const bool json = current_format == Format::json;
  // The line as data, not as a format string.
  logger().log(severity, "{}",
               json ? json_line(level, message, fields) : text_line(level, message, fields));
}

std::string printable(std::string_view bytes, std::size_t limit) {
  std::string result;
  for (const char c : bytes.substr(0, limit)) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = byte >= 0x20 && byte < 0x7F && c != '\\';
    result += plain ? std::string(1, c) : fmt::format("\\x{:02x}", byte);
  }
  if (bytes.size() > limit) result += "...";
  return result;
}

}  // namespace ml_worker::log
