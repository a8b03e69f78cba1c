#include "json/json_file.h"

#include <fmt/format.h>

#include <fstream>
#include <utility>

#include "ml_worker/startup_error.h"

namespace ml_worker {
namespace {

constexpr int kMaxDepth = 64;

[[noreturn]] void refuse(const std::string& message) {
  throw StartupError(ExitCode::model, message);
}

}  // namespace

std::string read_file(const std::filesystem::path& path, std::size_t max_bytes) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) {
    refuse(fmt::format("{}: no such file", path.string()));
  }
  const auto size = std::filesystem::file_size(path, error);
  if (error) refuse(fmt::format("{}: {}", path.string(), error.message()));
  if (size > max_bytes) {
    refuse(fmt::format("{}: expected at most {} bytes, got {}", path.string(), max_bytes, size));
  }
  std::string bytes(size, '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(bytes.data(), static_cast<std::streamsize>(size));
  if (!file) refuse(fmt::format("{}: cannot be read", path.string()));
  return bytes;
}

nlohmann::json parse_json(std::string_view text, const std::string& where) {
  const auto bounded = [&where](int depth, nlohmann::json::parse_event_t /*event*/,
                                nlohmann::json& /*parsed*/) {
    if (depth > kMaxDepth) refuse(fmt::format("{}: nested deeper than {}", where, kMaxDepth));
    return true;
  };
  try {
    return nlohmann::json::parse(text.begin(), text.end(), bounded);
  } catch (const nlohmann::json::exception& error) {
    refuse(fmt::format("{}: not valid JSON ({})", where, error.what()));
  }
}

JsonObject read_json_object(const std::filesystem::path& path, std::size_t max_bytes) {
  return {parse_json(read_file(path, max_bytes), path.string()), path.string()};
}

JsonObject::JsonObject(nlohmann::json value, std::string where)
    : JsonObject(std::make_shared<const nlohmann::json>(std::move(value)), std::move(where)) {}

JsonObject::JsonObject(std::shared_ptr<const nlohmann::json> value, std::string where)
    : value_(std::move(value)), where_(std::move(where)) {
  if (!value_->is_object()) fail(fmt::format("expected an object, got {}", value_->type_name()));
}

std::shared_ptr<const nlohmann::json> JsonObject::part(const nlohmann::json& value) const {
  return {value_, &value};
}

void JsonObject::fail(const std::string& what) const {
  refuse(fmt::format("{}: {}", where_, what));
}

void JsonObject::wrong_type(std::string_view key, std::string_view expected) const {
  fail(fmt::format("'{}': expected {}, got {}", key, expected, at(key).type_name()));
}

bool JsonObject::has(std::string_view key) const {
  const auto found = value_->find(key);
  return found != value_->end() && !found->is_null();
}

const nlohmann::json& JsonObject::at(std::string_view key) const {
  if (!has(key)) fail(fmt::format("'{}' is missing", key));
  return *value_->find(key);
}

JsonObject JsonObject::object(std::string_view key) const {
  return {part(at(key)), fmt::format("{}: {}", where_, key)};
}

std::vector<JsonObject> JsonObject::objects(std::string_view key) const {
  if (!at(key).is_array()) wrong_type(key, "an array");
  std::vector<JsonObject> result;
  for (const auto& element : at(key)) {
    result.push_back(
        JsonObject(part(element), fmt::format("{}: {}[{}]", where_, key, result.size())));
  }
  return result;
}

std::string JsonObject::text(std::string_view key) const {
  if (!at(key).is_string()) wrong_type(key, "a string");
  return at(key).get<std::string>();
}

std::string JsonObject::text(std::string_view key, std::string fallback) const {
  return has(key) ? text(key) : std::move(fallback);
}

std::optional<bool> JsonObject::flag(std::string_view key) const {
  if (!has(key)) return std::nullopt;
  if (!at(key).is_boolean()) wrong_type(key, "true or false");
  return at(key).get<bool>();
}

bool JsonObject::flag(std::string_view key, bool fallback) const {
  return flag(key).value_or(fallback);
}

std::int64_t JsonObject::integer(std::string_view key, std::int64_t low, std::int64_t high) const {
  if (!at(key).is_number_integer()) wrong_type(key, "an integer");
  const auto& value = at(key);
  // An unsigned number over int64's range would wrap round to a negative one.
  const bool fits = !value.is_number_unsigned() || value.get<std::uint64_t>() <= INT64_MAX;
  if (!fits || value.get<std::int64_t>() < low || value.get<std::int64_t>() > high) {
    fail(fmt::format("'{}': expected {} to {}, got {}", key, low, high, value.dump()));
  }
  return value.get<std::int64_t>();
}

std::int64_t JsonObject::integer(std::string_view key, std::int64_t low, std::int64_t high,
                                 std::int64_t fallback) const {
  return has(key) ? integer(key, low, high) : fallback;
}

double JsonObject::number(std::string_view key, double fallback) const {
  if (!has(key)) return fallback;
  if (!at(key).is_number()) wrong_type(key, "a number");
  return at(key).get<double>();
}

}  // namespace ml_worker
