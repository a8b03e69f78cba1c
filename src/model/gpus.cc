#include "model/gpus.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <numeric>

#include "ml_worker/log.h"
#include "ml_worker/startup_error.h"

namespace ml_worker {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kCuda = "cuda";
constexpr const char* kPlugin = "libml_worker_cuda.so";

[[noreturn]] void refuse(const std::string& what) { throw StartupError(ExitCode::usage, what); }

[[noreturn]] void refuse_device(const std::string& text) {
  refuse("device '" + text + "': expected auto, cpu, cuda or cuda:I,… with the numbers of GPUs");
}

std::size_t parse_index(std::string_view digits, const std::string& text) {
  std::size_t index = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
  constexpr std::size_t kLongest = 3;
  const bool number = error == std::errc() && end == digits.data() + digits.size();
  if (!number || digits.size() > kLongest) refuse_device(text);
  return index;
}

std::string last_dl_error() {
  const char* error = dlerror();
  return error == nullptr ? "unknown error" : error;
}

/// Held open for as long as the program runs: what a library of this size starts does not end.
template <typename Function>
Function find_function(void* library, const char* name) {
  return reinterpret_cast<Function>(dlsym(library, name));
}

std::size_t count_devices(void* library, std::string& problem) {
  const auto init = find_function<int (*)(unsigned)>(library, "cuInit");
  const auto count = find_function<int (*)(int*)>(library, "cuDeviceGetCount");
  if (init == nullptr || count == nullptr) {
    problem = "the driver's library lacks cuInit or cuDeviceGetCount";
    return 0;
  }
  int devices = 0;
  const int started = init(0);
  if (started != 0 || count(&devices) != 0 || devices < 1) {
    problem = fmt::format("the driver has no device (cuInit: {})", started);
    return 0;
  }
  return static_cast<std::size_t>(devices);
}

std::vector<std::size_t> checked_indices(const DeviceRequest& request, const DeviceDriver& driver) {
  std::vector<std::size_t> indices = request.indices;
  if (indices.empty()) {
    indices.resize(driver.count());
    std::iota(indices.begin(), indices.end(), std::size_t{0});
  }
  for (const std::size_t index : indices) {
    if (index < driver.count()) continue;
    refuse(fmt::format("device 'cuda:{}': this machine has {}, numbered from 0", index,
                       driver.count()));
  }
  return indices;
}

void require_one_kind(const DeviceDriver& driver, const std::vector<std::size_t>& indices) {
  const DeviceAbout first = driver.about(indices.front());
  for (const std::size_t index : indices) {
    const DeviceAbout other = driver.about(index);
    if (other.compute_capability == first.compute_capability) continue;
    refuse(
        fmt::format("cuda:{} ({}) and cuda:{} ({}) compute differently: start a worker for each "
                    "kind with --device cuda:I,…",
                    indices.front(), first.name, index, other.name));
  }
}

Gpus open_gpus(const DeviceRequest& request, const GpuSource& source) {
  DeviceDriver& driver = source.open();
  Gpus gpus{&driver, checked_indices(request, driver)};
  require_one_kind(driver, gpus.indices);
  return gpus;
}

}  // namespace

DeviceRequest parse_device(const std::string& text) {
  if (text == "auto") return {};
  if (text == "cpu") return {DeviceRequest::Kind::cpu, {}};
  DeviceRequest request{DeviceRequest::Kind::cuda, {}};
  if (text == kCuda) return request;
  if (!text.starts_with("cuda:")) refuse_device(text);
  std::string_view rest = std::string_view(text).substr(kCuda.size());
  while (!rest.empty()) {
    rest.remove_prefix(1);
    const std::string_view digits = rest.substr(0, rest.find(','));
    const std::size_t index = parse_index(digits, text);
    const auto& known = request.indices;
    if (std::find(known.begin(), known.end(), index) != known.end()) {
      refuse(fmt::format("device '{}': {} is named twice", text, index));
    }
    request.indices.push_back(index);
    rest.remove_prefix(digits.size());
  }
  return request;
}

DriverProbe probe_driver(const char* library) {
  DriverProbe probe;
  void* opened = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (opened == nullptr) {
    probe.problem = "no NVIDIA driver: " + last_dl_error();
    return probe;
  }
  probe.devices = count_devices(opened, probe.problem);
  return probe;
}

DeviceDriver& open_device_driver(const std::vector<fs::path>& paths) {
  const auto found = std::find_if(paths.begin(), paths.end(), [](const fs::path& path) {
    std::error_code ignored;
    return fs::exists(path, ignored);
  });
  if (found == paths.end()) refuse(std::string(kPlugin) + " is not beside the program");
  // Its symbols and libtorch's are for those libraries that it brings.
  void* opened = dlopen(found->c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (opened == nullptr) {
    refuse("libtorch's CUDA part cannot be opened (" + last_dl_error() +
           "); scripts/setup brings it on a machine with a driver");
  }
  const auto open = find_function<OpenDeviceDriver>(opened, kDeviceDriverSymbol);
  if (open == nullptr) refuse(found->string() + " is not of this program");
  try {
    return open();
  } catch (const std::exception& error) {
    refuse(std::string("CUDA cannot be started: ") + error.what());
  }
}

std::vector<fs::path> device_driver_paths() {
  std::error_code ignored;
  const fs::path folder = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  return {folder / kPlugin, folder.parent_path() / "lib/ml_worker" / kPlugin};
}

Gpus choose_gpus(const DeviceRequest& request, const GpuSource& source) {
  if (request.kind == DeviceRequest::Kind::cpu) return {};
  const DriverProbe probe = source.probe();
  if (request.kind == DeviceRequest::Kind::cuda) {
    if (probe.devices == 0) refuse("device 'cuda': " + probe.problem);
    return open_gpus(request, source);
  }
  if (probe.devices == 0) return {};
  try {
    return open_gpus(request, source);
  } catch (const StartupError& error) {
    log::warning("there is a GPU, but models run on the CPU",
                 {{"what", log::printable(error.what(), 512)}});
    return {};
  }
}

std::optional<std::size_t> memory_bound(double bound, std::size_t all) {
  if (bound <= 0.0) return std::nullopt;
  if (bound <= 1.0) return static_cast<std::size_t>(bound * static_cast<double>(all));
  return std::min(static_cast<std::size_t>(bound), all);
}

}  // namespace ml_worker
