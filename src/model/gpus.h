// Which GPUs a model runs on: what --device asks for, and what this machine has.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ml_worker/device.h"

namespace ml_worker {

/// What `--device` says.
struct DeviceRequest {
  enum class Kind { automatic, cpu, cuda };
  Kind kind = Kind::automatic;
  std::vector<std::size_t> indices;  ///< of cuda; empty: all
};

/// auto, cpu, cuda, cuda:0, cuda:0,2 … Throws StartupError(ExitCode::usage).
DeviceRequest parse_device(const std::string& text);

/// Whether NVIDIA's driver is here and has a device; asked without libtorch.
struct DriverProbe {
  std::size_t devices = 0;
  std::string problem;  ///< why there is none
};
DriverProbe probe_driver(const char* library = "libcuda.so.1");

/// Opens the shared object that drives the GPUs: the first of `paths` that is there. Throws
/// StartupError(ExitCode::usage) that says why it cannot be.
DeviceDriver& open_device_driver(const std::vector<std::filesystem::path>& paths);

/// Beside the program, and where `cmake --install` puts it.
std::vector<std::filesystem::path> device_driver_paths();

/// How the machine is asked.
struct GpuSource {
  std::function<DriverProbe()> probe;
  std::function<DeviceDriver&()> open;
};

/// No driver: the CPU.
struct Gpus {
  DeviceDriver* driver = nullptr;
  std::vector<std::size_t> indices;
};

/// `auto` falls back to the CPU, with a warning in the log where there is a GPU that cannot be
/// used. Throws StartupError(ExitCode::usage) for a GPU that is asked for and cannot be had, and
/// for GPUs of different kinds: their vectors would not be the same.
Gpus choose_gpus(const DeviceRequest& request, const GpuSource& source);

/// Bytes that a device of `all` bytes may use: `bound` is bytes, or up to 1 a fraction; 0: none.
std::optional<std::size_t> memory_bound(double bound, std::size_t all);

}  // namespace ml_worker
