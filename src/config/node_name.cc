#include "config/node_name.h"

#include <netdb.h>
#include <unistd.h>

#include <array>

#include "ml_worker/startup_error.h"

namespace ml_worker {
namespace {

std::string host_name() {
  std::array<char, 256> buffer{};
  if (gethostname(buffer.data(), buffer.size() - 1) != 0) return "localhost";
  return buffer.data();
}

std::string canonical_name(const std::string& host) {
  addrinfo hints{};
  hints.ai_flags = AI_CANONNAME;
  addrinfo* found = nullptr;
  std::string name = host;
  if (getaddrinfo(host.c_str(), nullptr, &hints, &found) == 0) {
    if (found->ai_canonname != nullptr) name = found->ai_canonname;
    freeaddrinfo(found);
  }
  return name;
}

}  // namespace

std::string complete_node_name(const std::string& given, bool short_names) {
  if (given.find('@') != std::string::npos) return given;
  const std::string host = host_name();
  if (short_names) return given + "@" + host.substr(0, host.find('.'));
  const std::string full = host.find('.') == std::string::npos ? canonical_name(host) : host;
  if (full.find('.') == std::string::npos)
    throw StartupError(ExitCode::usage, "--name " + given + ": this machine's host name \"" + full +
                                            "\" has no dot; give NAME@HOST or use --sname");
  return given + "@" + full;
}

}  // namespace ml_worker
