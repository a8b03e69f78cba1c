#include "model/threads.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include "ml_worker/startup_error.h"

namespace ml_worker {

void prepare_threads(int threads) {
  if (!at::globalContext().hasMKLDNN()) {
    throw StartupError(ExitCode::model, "this libtorch has no oneDNN, which CPU models need");
  }
  if (threads > 0) at::set_num_threads(threads);
}

}  // namespace ml_worker
