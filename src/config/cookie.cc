#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "ml_worker/config.h"
#include "ml_worker/startup_error.h"

namespace ml_worker {
namespace {

namespace fs = std::filesystem;

/// OTP takes cookies of up to 255 characters (an atom).
constexpr std::size_t kMaxCookie = 255;

[[noreturn]] void refuse(const std::string& message) {
  throw StartupError(ExitCode::cookie, message);
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

/// Checks the opened file, not the path, so that nobody can swap it in between.
void check_owner_and_mode(int fd, const fs::path& path) {
  struct stat status {};
  if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
    refuse("cookie file " + path.string() + ": expected a regular file");
  if (status.st_uid != geteuid())
    refuse("cookie file " + path.string() + ": expected it to be owned by the user that runs this");
  if ((status.st_mode & 0177) != 0)
    refuse("cookie file " + path.string() +
           ": expected mode 0400 or 0600, others can read or change it");
}

std::string check_cookie(std::string cookie, const std::string& source) {
  while (!cookie.empty() && (cookie.back() == '\n' || cookie.back() == '\r')) cookie.pop_back();
  if (cookie.empty()) refuse(source + ": the cookie is empty");
  if (cookie.size() > kMaxCookie)
    refuse(source + ": expected a cookie of at most 255 bytes, got a longer one");
  for (const char c : cookie)
    if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f)
      refuse(source + ": the cookie has a blank or a control character in it");
  return cookie;
}

std::string read_cookie_file(const fs::path& path) {
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) refuse("cookie file " + path.string() + ": " + std::strerror(errno));
  check_owner_and_mode(file.get(), path);
  std::array<char, kMaxCookie + 3> buffer{};
  const ssize_t got = read(file.get(), buffer.data(), buffer.size());
  if (got < 0) refuse("cookie file " + path.string() + ": " + std::strerror(errno));
  return check_cookie(std::string(buffer.data(), static_cast<std::size_t>(got)),
                      "cookie file " + path.string());
}

/// The variable leaves the environment. /proc/PID/environ shows the bytes that the process was
/// started with, whatever became of the environment: they are overwritten.
std::optional<std::string> take_variable(const char* name) {
  char* value = std::getenv(name);
  if (value == nullptr) return std::nullopt;
  std::string taken = value;
  explicit_bzero(value, taken.size());
  unsetenv(name);
  return taken;
}

}  // namespace

std::string load_cookie(const Config& config) {
  const auto from_environment = take_variable("ML_WORKER_COOKIE");
  if (!config.cookie_file.empty()) return read_cookie_file(config.cookie_file);
  if (from_environment) return check_cookie(*from_environment, "ML_WORKER_COOKIE");
  const char* home = std::getenv("HOME");
  if (home == nullptr) refuse("no cookie: expected --cookie-file, ML_WORKER_COOKIE or a HOME");
  return read_cookie_file(fs::path(home) / ".erlang.cookie");
}

}  // namespace ml_worker
