// What names symbols of CUDA: built into libml_worker_cuda.so, so that the program itself needs
// none.
#include <ATen/Context.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAFunctions.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <mutex>
#include <stdexcept>

#include "cuda/program.h"
#include "ml_worker/device.h"

namespace ml_worker {
namespace {

namespace allocator = c10::cuda::CUDACachingAllocator;

c10::DeviceIndex torch_index(std::size_t index) { return static_cast<c10::DeviceIndex>(index); }

class CudaGraph : public DeviceGraph {
 public:
  /// Other threads go on allocating while this one captures: only its own calls are forbidden what
  /// a capture cannot have. But graphs register with the device's random numbers, without a lock:
  /// `registering` is held while one begins, ends or goes.
  CudaGraph(const std::function<void()>& queue, c10::cuda::MempoolId_t pool,
            std::mutex& registering)
      : registering_(registering) {
    const std::lock_guard lock(registering_);
    try {
      graph_->capture_begin(pool, cudaStreamCaptureModeThreadLocal);
      queue();
      graph_->capture_end();
    } catch (...) {
      abandon(pool);
      throw;
    }
  }

  ~CudaGraph() override {
    const std::lock_guard lock(registering_);
    graph_.reset();
  }
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;

  void replay() override { graph_->replay(); }
  c10::cuda::MempoolId_t pool() { return graph_->pool(); }

 private:
  /// The stream and the allocator must leave their recording state; that what was recorded is
  /// broken is known. A capture_end() that fails leaves the allocator in it.
  void abandon(c10::cuda::MempoolId_t pool) {
    try {
      graph_->capture_end();
    } catch (const std::exception&) {
      static_cast<void>(cudaGetLastError());  // clears what is not sticky
    }
    try {
      const c10::DeviceIndex device = c10::cuda::current_device();
      allocator::endAllocateToPool(device, pool);
      allocator::releasePool(device, pool);
    } catch (const std::exception&) {
      // It had left it, and the graph gives the pool back.
    }
    graph_.reset();
  }

  std::mutex& registering_;
  std::unique_ptr<at::cuda::CUDAGraph> graph_ = std::make_unique<at::cuda::CUDAGraph>();
};

class CudaDriver : public DeviceDriver {
 public:
  CudaDriver() {
    at::globalContext().lazyInitDevice(at::kCUDA);
    // It would make a plan for every new shape of a batch, which takes longer than the batch.
    at::globalContext().setSDPUseCuDNN(false);
    count_ = static_cast<unsigned char>(c10::cuda::device_count_ensure_non_zero());
  }

  std::size_t count() const override { return count_; }

  DeviceAbout about(std::size_t index) const override {
    cudaDeviceProp properties{};
    C10_CUDA_CHECK(cudaGetDeviceProperties(&properties, static_cast<int>(index)));
    return {static_cast<const char*>(properties.name), properties.major * 10 + properties.minor,
            properties.totalGlobalMem};
  }

  DeviceMemory memory(std::size_t index) const override {
    const auto stats = allocator::getDeviceStats(torch_index(index));
    constexpr auto kAll = static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    return {static_cast<std::size_t>(stats.allocated_bytes.at(kAll).current),
            static_cast<std::size_t>(stats.reserved_bytes.at(kAll).current)};
  }

  void limit_memory(std::size_t index, std::size_t bytes) override {
    const auto all = static_cast<double>(about(index).memory_bytes);
    allocator::setMemoryFraction(std::min(static_cast<double>(bytes) / all, 1.0),
                                 torch_index(index));
  }

  /// The allocator does not do it while a graph is recorded.
  void release_unused() override {
    const std::lock_guard lock(registering_);
    allocator::emptyCache();
  }

  std::unique_ptr<DeviceGraph> capture(const std::function<void()>& queue,
                                       DeviceGraph* neighbour) override {
    const auto pool = neighbour == nullptr ? at::cuda::graph_pool_handle()
                                           : dynamic_cast<CudaGraph&>(*neighbour).pool();
    return std::make_unique<CudaGraph>(queue, pool, registering_);
  }

  std::shared_ptr<DeviceProgram> compile(const DeviceProgramShape& shape) override {
    return compile_program(shape);
  }

 private:
  std::size_t count_ = 0;
  std::mutex registering_;
};

}  // namespace
}  // namespace ml_worker

extern "C" ml_worker::DeviceDriver& ml_worker_open_device_driver() {
  try {
    static ml_worker::CudaDriver driver;
    return driver;
  } catch (const c10::Error& error) {
    throw std::runtime_error(error.what_without_backtrace());
  }
}
