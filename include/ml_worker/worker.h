// The worker put together: models, service and node, from start to drain.
#pragma once

#include "ml_worker/config.h"
#include "ml_worker/startup_error.h"

namespace ml_worker {

/// Loads the models, joins the cluster and serves until SIGTERM or SIGINT has drained it.
/// Throws StartupError.
ExitCode run_worker(const Config& config);

/// --check: loads, embeds, compares with what is stored, prints a report on standard output.
ExitCode check_worker(const Config& config);

}  // namespace ml_worker
