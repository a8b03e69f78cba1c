// Only starts: options in, exit status out. The parts are put together in worker/.
#include <unistd.h>

#include <array>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include "ml_worker/config.h"
#include "ml_worker/startup_error.h"
#include "ml_worker/worker.h"

namespace {

/// OpenMP's threads wait for each other by spinning, as long as they are told before the process
/// starts. For ever: with other work on the cores a forward pass takes eight times as long. Not at
/// all: being woken costs a short text as much as computing it. So they spin for about the time
/// between two steps of a forward pass, and less than the 3,000 pauses after which a virtual
/// machine's host takes the core away (KVM's pause_filter_count): with 4,000 one text in a hundred
/// took four times as long. The program starts itself once more with the variable set; whoever has
/// set one of them is left alone.
void let_threads_spin_briefly(char** argv) {
  std::array<char, PATH_MAX> program{};
  if (std::getenv("OMP_WAIT_POLICY") != nullptr || std::getenv("GOMP_SPINCOUNT") != nullptr) return;
  if (readlink("/proc/self/exe", program.data(), program.size() - 1) <= 0) return;
  setenv("GOMP_SPINCOUNT", "2000", 1);
  execv(program.data(), argv);
}

}  // namespace

int main(int argc, char** argv) {
  let_threads_spin_briefly(argv);
  using ml_worker::ExitCode;
  try {
    const auto parsed = ml_worker::parse_command_line(argc, argv);
    if (!parsed.run) {
      std::fputs(parsed.text.c_str(), stdout);
      return 0;
    }
    const auto& config = parsed.config;
    return static_cast<int>(config.check ? ml_worker::check_worker(config)
                                         : ml_worker::run_worker(config));
  } catch (const ml_worker::StartupError& error) {
    std::fprintf(stderr, "ml_worker: %s\n", error.what());
    return static_cast<int>(error.code());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "ml_worker: internal error: %s\n", error.what());
    return static_cast<int>(ExitCode::internal);
  }
}
