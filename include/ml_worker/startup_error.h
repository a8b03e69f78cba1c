// What stops the program before it serves. Each kind has an exit code that docs/API.md lists.
#pragma once

#include <stdexcept>
#include <string>

namespace ml_worker {

enum class ExitCode : int {
  ok = 0,
  internal = 1,
  usage = 64,       ///< EX_USAGE: unknown option, wrong type, wrong node name
  model = 65,       ///< EX_DATAERR: no model, or a broken model file
  self_check = 70,  ///< EX_SOFTWARE: the vectors are not what they were, or --check failed
  name_taken = 73,  ///< EX_CANTCREAT: another node holds our name in epmd
  epmd = 69,        ///< EX_UNAVAILABLE: no epmd, and none could be started
  network = 71,     ///< EX_OSERR: cannot listen
  tls = 78,         ///< EX_CONFIG: certificate, key or CA missing, broken or readable by others
  cookie = 77,      ///< EX_NOPERM: missing, or readable by others
};

class StartupError : public std::runtime_error {
 public:
  StartupError(ExitCode code, const std::string& message)
      : std::runtime_error(message), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

}  // namespace ml_worker
