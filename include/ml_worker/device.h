// The seam between a model and the GPUs of this machine: what libtorch has no device-independent
// call for. `cuda` implements it in a shared object of its own, which is opened only where a driver
// is; tests implement it on the CPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

namespace ml_worker {

struct DeviceAbout {
  std::string name;            ///< e.g. "NVIDIA H100 80GB HBM3"
  int compute_capability = 0;  ///< ten times the major number plus the minor one, e.g. 90
  std::size_t memory_bytes = 0;
};

/// In bytes, of this process.
struct DeviceMemory {
  std::size_t used = 0;      ///< by tensors
  std::size_t reserved = 0;  ///< taken from the driver
};

/// A recorded sequence of kernels, over the tensors that it was recorded with.
class DeviceGraph {
 public:
  virtual ~DeviceGraph() = default;
  /// Queues them on the calling thread's current stream.
  virtual void replay() = 0;
};

/// What src/cuda/kernels.cu is compiled for.
struct DeviceProgramShape {
  int compute_capability = 0;
  bool bfloat16 = false;  ///< numbers are, else float16
  std::int64_t head_size = 0;
  std::int64_t hidden = 0;
};

/// Our own kernels, compiled, on all devices of the kind.
class DeviceProgram {
 public:
  virtual ~DeviceProgram() = default;
  /// Queues a kernel on the calling thread's current stream: `blocks` of kThreads threads.
  /// `arguments` point to the kernel's, in order.
  static constexpr unsigned kThreads = 128;
  virtual void run(const std::string& kernel, std::size_t blocks, std::span<void*> arguments) = 0;
};

/// `index`: from 0, below count(). All may be called from any thread. Throws std::exception.
class DeviceDriver {
 public:
  virtual ~DeviceDriver() = default;

  virtual std::size_t count() const = 0;
  virtual DeviceAbout about(std::size_t index) const = 0;
  virtual DeviceMemory memory(std::size_t index) const = 0;
  /// More than that is out of memory, whatever the device has.
  virtual void limit_memory(std::size_t index, std::size_t bytes) = 0;
  /// Gives the driver back what no tensor uses.
  virtual void release_unused() = 0;
  /// Records what `queue` queues on the calling thread's current stream, which is no default
  /// stream, instead of running it. Nothing of it may wait for the device. `neighbour`: a graph to
  /// share memory with, which never runs at the same time; null: none.
  virtual std::unique_ptr<DeviceGraph> capture(const std::function<void()>& queue,
                                               DeviceGraph* neighbour) = 0;
  /// Takes about a second.
  virtual std::shared_ptr<DeviceProgram> compile(const DeviceProgramShape& shape) = 0;
};

/// What the shared object exports, under kDeviceDriverSymbol. Throws std::exception where there is
/// no device.
using OpenDeviceDriver = DeviceDriver& (*)();
inline constexpr const char* kDeviceDriverSymbol = "ml_worker_open_device_driver";

}  // namespace ml_worker
