#include "cuda/program.h"

#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>
#include <dlfcn.h>

#include <array>
#include <map>
#include <stdexcept>
#include <vector>

#include "kernels_source.h"

namespace ml_worker {
namespace {

/// libtorch's own door to NVRTC: it finds that library where the wheels have put it.
constexpr const char* kLibrary = "libcaffe2_nvrtc.so";
constexpr std::array<const char*, 5> kKernels = {"short_attention_16", "short_attention_32",
                                                 "short_attention_64", "short_attention_128",
                                                 "sum_norm"};

/// The part of NVRTC that is needed here. Its header is in a wheel of 90 MB, with a library that a
/// build does not need. https://docs.nvidia.com/cuda/nvrtc/index.html
class Nvrtc {
 public:
  using Program = void*;

  Nvrtc() : library_(dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL)) {
    if (library_ == nullptr) throw std::runtime_error(dlerror());
  }

  template <typename... Arguments>
  void call(const char* name, Arguments... arguments) const {
    const auto function = reinterpret_cast<int (*)(Arguments...)>(dlsym(library_, name));
    if (function == nullptr) throw std::runtime_error(std::string("NVRTC lacks ") + name);
    if (const int status = function(arguments...); status != 0) {
      throw std::runtime_error(std::string(name) + " gave " + std::to_string(status));
    }
  }

  /// One of the texts that NVRTC has of a program, by the functions that give its size and itself.
  std::vector<char> get(Program program, const char* size_name, const char* name) const {
    std::size_t size = 0;
    call(size_name, program, &size);
    std::vector<char> text(size);
    call(name, program, text.data());
    return text;
  }

 private:
  void* library_;  ///< held open, as libtorch does
};

std::vector<std::string> options_for(const DeviceProgramShape& shape) {
  std::vector<std::string> options = {
      "--std=c++17", "--gpu-architecture=sm_" + std::to_string(shape.compute_capability),
      "-DHEAD_SIZE=" + std::to_string(shape.head_size), "-DHIDDEN=" + std::to_string(shape.hidden)};
  if (shape.bfloat16) options.emplace_back("-DBFLOAT16");
  return options;
}

/// Machine code of the devices of the kind.
std::vector<char> machine_code(const DeviceProgramShape& shape) {
  const Nvrtc nvrtc;
  const std::vector<std::string> options = options_for(shape);
  std::vector<const char*> pointers;
  pointers.reserve(options.size());
  for (const std::string& option : options) pointers.push_back(option.c_str());
  Nvrtc::Program program = nullptr;
  const char* const* none = nullptr;
  nvrtc.call("nvrtcCreateProgram", &program, kKernelsSource, "kernels.cu", 0, none, none);
  const auto destroy = [&nvrtc](Nvrtc::Program* made) { nvrtc.call("nvrtcDestroyProgram", made); };
  const std::unique_ptr<Nvrtc::Program, decltype(destroy)> destroyed_at_last(&program, destroy);
  try {
    nvrtc.call("nvrtcCompileProgram", program, static_cast<int>(pointers.size()), pointers.data());
  } catch (const std::runtime_error& error) {
    const auto said = nvrtc.get(program, "nvrtcGetProgramLogSize", "nvrtcGetProgramLog");
    throw std::runtime_error(std::string(error.what()) + ": " + said.data());
  }
  return nvrtc.get(program, "nvrtcGetCUBINSize", "nvrtcGetCUBIN");
}

class CudaProgram : public DeviceProgram {
 public:
  explicit CudaProgram(const std::vector<char>& code) {
    C10_CUDA_CHECK(
        cudaLibraryLoadData(&library_, code.data(), nullptr, nullptr, 0, nullptr, nullptr, 0));
    for (const char* name : kKernels) {
      C10_CUDA_CHECK(cudaLibraryGetKernel(&kernels_[name], library_, name));
    }
  }
  // Nothing of it runs any more: whoever queued a kernel has waited for its stream.
  ~CudaProgram() override { static_cast<void>(cudaLibraryUnload(library_)); }
  CudaProgram(const CudaProgram&) = delete;
  CudaProgram& operator=(const CudaProgram&) = delete;

  void run(const std::string& kernel, std::size_t blocks, std::span<void*> arguments) override {
    C10_CUDA_CHECK(cudaLaunchKernel(reinterpret_cast<const void*>(kernels_.at(kernel)),
                                    dim3(static_cast<unsigned>(blocks)), dim3(kThreads),
                                    arguments.data(), 0, c10::cuda::getCurrentCUDAStream()));
  }

 private:
  cudaLibrary_t library_ = nullptr;
  std::map<std::string, cudaKernel_t, std::less<>> kernels_;
};

}  // namespace

std::shared_ptr<DeviceProgram> compile_program(const DeviceProgramShape& shape) {
  return std::make_shared<CudaProgram>(machine_code(shape));
}

}  // namespace ml_worker
