// Only starts: options in, exit status out. The parts are put together in worker/.
#include <cstdio>
#include <exception>

#include "ml_worker/config.h"
#include "ml_worker/startup_error.h"
#include "ml_worker/worker.h"

int main(int argc, char** argv) {
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
