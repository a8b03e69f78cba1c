#include <algorithm>
#include <string>

#include "ml_worker/distribution.h"

namespace ml_worker::distribution {
namespace {

constexpr std::size_t kMaxNameBytes = 255;  // an atom, and epmd's limit

bool is_alive_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-';
}

bool is_host_character(char c) { return is_alive_character(c) || c == '.' || c == ':'; }

}  // namespace

std::string check_node_name(const std::string& name, bool short_names) {
  const auto at = name.find('@');
  if (at == std::string::npos) return "expected NAME@HOST, got no @";
  const std::string alive = name.substr(0, at);
  const std::string host = name.substr(at + 1);
  if (name.size() > kMaxNameBytes) return "expected at most 255 bytes";
  if (alive.empty() || !std::all_of(alive.begin(), alive.end(), is_alive_character)) {
    return "expected letters, digits, _ and - before the @";
  }
  if (host.empty() || !std::all_of(host.begin(), host.end(), is_host_character)) {
    return "expected a host name or an address after the @";
  }
  const bool long_host = host.find_first_of(".:") != std::string::npos;
  if (short_names && long_host) return "expected a host without a dot (short names)";
  if (!short_names && !long_host) return "expected a host with a dot, or an address (long names)";
  return "";
}

}  // namespace ml_worker::distribution
