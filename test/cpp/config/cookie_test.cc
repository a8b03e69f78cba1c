#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>

#include "ml_worker/config.h"
#include "ml_worker/startup_error.h"

using namespace ml_worker;
namespace fs = std::filesystem;

namespace {

class CookieFile {
 public:
  CookieFile(const std::string& content, int mode)
      : path_(fs::temp_directory_path() / ("ml_worker_cookie_test" + std::to_string(getpid()))) {
    std::ofstream(path_) << content;
    fs::permissions(path_, static_cast<fs::perms>(mode));
  }
  ~CookieFile() { fs::remove(path_); }
  Config config() const {
    Config config;
    config.cookie_file = path_;
    return config;
  }

 private:
  fs::path path_;
};

std::string refusal(const Config& config) {
  try {
    load_cookie(config);
  } catch (const StartupError& error) {
    CHECK(error.code() == ExitCode::cookie);
    return error.what();
  }
  FAIL("accepted");
  return {};
}

using Catch::Matchers::Contains;

}  // namespace

TEST_CASE("a cookie file of ours is read and its newline cut") {
  CHECK(load_cookie(CookieFile("secret\n", 0400).config()) == "secret");
  CHECK(load_cookie(CookieFile("secret", 0600).config()) == "secret");
}

TEST_CASE("a cookie file that others can read is refused, by its name") {
  CHECK_THAT(refusal(CookieFile("secret", 0644).config()), Contains("0400"));
  CHECK_THAT(refusal(CookieFile("secret", 0640).config()), Contains("ml_worker_cookie_test"));
}

TEST_CASE("a cookie that cannot be one is refused") {
  CHECK_THAT(refusal(CookieFile("", 0400).config()), Contains("empty"));
  CHECK_THAT(refusal(CookieFile("\n", 0400).config()), Contains("empty"));
  CHECK_THAT(refusal(CookieFile("two words", 0400).config()), Contains("blank"));
  CHECK_THAT(refusal(CookieFile(std::string(300, 'x'), 0400).config()), Contains("255"));
}

TEST_CASE("a missing file and a directory are refused") {
  Config config;
  config.cookie_file = "/nonexistent/cookie";
  CHECK_THAT(refusal(config), Contains("/nonexistent/cookie"));
  config.cookie_file = fs::temp_directory_path();
  CHECK_THAT(refusal(config), Contains("regular file"));
}

TEST_CASE("the variable is used once and leaves the environment") {
  setenv("ML_WORKER_COOKIE", "from-environment", 1);
  CHECK(load_cookie(Config{}) == "from-environment");
  CHECK(std::getenv("ML_WORKER_COOKIE") == nullptr);
}

TEST_CASE("the variable leaves the environment even when the file is used") {
  setenv("ML_WORKER_COOKIE", "from-environment", 1);
  CHECK(load_cookie(CookieFile("from-file", 0400).config()) == "from-file");
  CHECK(std::getenv("ML_WORKER_COOKIE") == nullptr);
}

TEST_CASE("without file and variable the cookie is the one in HOME") {
  unsetenv("ML_WORKER_COOKIE");
  const std::string home = std::getenv("HOME");
  const auto folder = fs::temp_directory_path() / ("ml_worker_home" + std::to_string(getpid()));
  fs::create_directories(folder);
  std::ofstream(folder / ".erlang.cookie") << "home-cookie";
  fs::permissions(folder / ".erlang.cookie", fs::perms::owner_read);
  setenv("HOME", folder.c_str(), 1);
  CHECK(load_cookie(Config{}) == "home-cookie");
  setenv("HOME", home.c_str(), 1);
  fs::remove_all(folder);
}
