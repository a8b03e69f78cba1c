#include "json/json_file.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "ml_worker/startup_error.h"

using namespace ml_worker;
namespace fs = std::filesystem;
using Catch::Matchers::Contains;

namespace {

class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& content)
      : path_(fs::temp_directory_path() / ("ml_worker_json_test" + std::to_string(getpid()))) {
    std::ofstream(path_) << content;
  }
  ~TemporaryFile() { fs::remove(path_); }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

JsonObject object(const std::string& text) {
  return {parse_json(text, "config.json"), "config.json"};
}

/// What `read` complains of; fails the test if it does not.
template <typename Read>
std::string complaint(Read read) {
  try {
    read();
  } catch (const StartupError& error) {
    CHECK(error.code() == ExitCode::model);
    return error.what();
  }
  FAIL("accepted");
  return {};
}

}  // namespace

TEST_CASE("fields come as they are asked for, with fallbacks for what is missing or null") {
  const auto config = object(R"({"a": 5, "b": "x", "c": true, "d": {"e": 1}, "n": null})");
  CHECK(config.integer("a", 1, 10) == 5);
  CHECK(config.integer("z", 1, 10, 7) == 7);
  CHECK(config.text("b") == "x");
  CHECK(config.text("n", "fallback") == "fallback");
  CHECK(config.flag("c", false));
  CHECK_FALSE(config.flag("z").has_value());
  CHECK(config.object("d").integer("e", 0, 1) == 1);
  CHECK_FALSE(config.has("n"));
}

TEST_CASE("a complaint names the file and the field") {
  const auto config = object(R"({"a": "five", "b": 500})");
  CHECK_THAT(complaint([&] { config.integer("a", 1, 10); }),
             Contains("config.json") && Contains("a"));
  CHECK_THAT(complaint([&] { config.integer("b", 1, 10); }), Contains("b"));
  CHECK_THAT(complaint([&] { config.text("missing"); }), Contains("missing"));
  CHECK_THAT(complaint([&] { config.object("b"); }), Contains("b"));
}

TEST_CASE("text that is not JSON, or nested too deeply, is refused") {
  CHECK_THAT(complaint([] { parse_json("{", "config.json"); }), Contains("config.json"));
  CHECK_THAT(complaint([] { parse_json(std::string(1000000, '['), "config.json"); }),
             Contains("config.json"));
  const std::string deep = std::string(60, '[') + std::string(60, ']');
  CHECK(parse_json(deep, "config.json").is_array());
}

TEST_CASE("a file over its size, of another kind or missing is refused") {
  const TemporaryFile file(R"({"a": 1})");
  CHECK(read_json_object(file.path(), 100).integer("a", 0, 1) == 1);
  CHECK_THAT(complaint([&] { read_json_object(file.path(), 3); }), Contains("ml_worker_json_test"));
  CHECK_THAT(complaint([] { read_file("/nonexistent.json", 10); }), Contains("nonexistent.json"));
  CHECK_THAT(complaint([] { read_file(fs::temp_directory_path(), 10); }), Contains("tmp"));
  const TemporaryFile array("[]");
  CHECK_THAT(complaint([&] { read_json_object(array.path(), 10); }), Contains("object"));
}
