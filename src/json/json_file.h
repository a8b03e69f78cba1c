// Reading the JSON files of a model directory, which nobody vouches for: sizes and depths are
// bounded, and every complaint names the file and the field.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace ml_worker {

/// The bytes of a regular file of at most `max_bytes`. Throws StartupError(ExitCode::model).
std::string read_file(const std::filesystem::path& path, std::size_t max_bytes);

/// A JSON object together with its place, for messages. Every function throws
/// StartupError(ExitCode::model) where the object is not as asked. A field that is `null` counts as
/// missing.
class JsonObject {
 public:
  /// `where` reads like a path: "tokenizer.json: normalizer".
  JsonObject(nlohmann::json value, std::string where);

  [[noreturn]] void fail(const std::string& what) const;
  const std::string& where() const { return where_; }
  const nlohmann::json& json() const { return *value_; }

  bool has(std::string_view key) const;
  JsonObject object(std::string_view key) const;
  /// An array of objects.
  std::vector<JsonObject> objects(std::string_view key) const;
  std::string text(std::string_view key) const;
  std::string text(std::string_view key, std::string fallback) const;
  bool flag(std::string_view key, bool fallback) const;
  std::optional<bool> flag(std::string_view key) const;
  /// From `low` to `high`, both included.
  std::int64_t integer(std::string_view key, std::int64_t low, std::int64_t high) const;
  std::int64_t integer(std::string_view key, std::int64_t low, std::int64_t high,
                       std::int64_t fallback) const;
  double number(std::string_view key, double fallback) const;

 private:
  /// Shares the whole that `value` is a part of: a vocabulary is not to be copied to be read.
  JsonObject(std::shared_ptr<const nlohmann::json> value, std::string where);
  std::shared_ptr<const nlohmann::json> part(const nlohmann::json& value) const;

  const nlohmann::json& at(std::string_view key) const;
  [[noreturn]] void wrong_type(std::string_view key, std::string_view expected) const;

  std::shared_ptr<const nlohmann::json> value_;
  std::string where_;
};

/// Parses text that must be one JSON value of at most 64 levels. `where` names it in messages.
nlohmann::json parse_json(std::string_view text, const std::string& where);

/// The file as a JSON object.
JsonObject read_json_object(const std::filesystem::path& path, std::size_t max_bytes);

}  // namespace ml_worker
