#include "model/threads.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "ml_worker/startup_error.h"

namespace ml_worker {
namespace {

/// More would wake each other for little work.
constexpr int kMostPasses = 16;

std::atomic<int> all_threads{1};
std::atomic<int> running_passes{0};

/// OpenMP keeps a thread's helpers for the thread's next pass, and once all threads' helpers are
/// more than the cores none of them spins any more (main.cc): a lone text takes half as long again.
/// So no more than one thread ever has all cores, the first that was alone.
bool may_have_all() {
  static std::atomic<std::thread::id> first;
  std::thread::id found;
  const std::thread::id own = std::this_thread::get_id();
  return first.compare_exchange_strong(found, own) || found == own;
}

}  // namespace

void prepare_threads(int threads) {
  if (!at::globalContext().hasMKLDNN()) {
    throw StartupError(ExitCode::model, "this libtorch has no oneDNN, which CPU models need");
  }
  if (threads > 0) at::set_num_threads(threads);
  all_threads = at::get_num_threads();
}

std::size_t passes_at_once(int wanted) {
  const int most = wanted > 0 ? wanted : kMostPasses;
  return static_cast<std::size_t>(std::clamp(most, 1, all_threads.load()));
}

ComputeShare::ComputeShare() {
  int passes = ++running_passes;
  if (passes == 1 && !may_have_all()) passes = 2;
  // The number is the calling thread's. libtorch sets it itself when a thread first asks for it: to
  // what was set last, by whatever thread.
  at::get_num_threads();
  at::set_num_threads(std::max(all_threads / passes, 1));
}

ComputeShare::~ComputeShare() { --running_passes; }

}  // namespace ml_worker
