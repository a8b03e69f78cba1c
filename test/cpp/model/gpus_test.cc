#include "model/gpus.h"

#include <catch2/catch.hpp>
#include <cstdlib>

#include "ml_worker/startup_error.h"
#include "model/precision.h"
#include "support/temporary_directory.h"

using namespace ml_worker;
using namespace ml_worker::testing;
using Catch::Matchers::Contains;
using Indices = std::vector<std::size_t>;
using Kind = DeviceRequest::Kind;

namespace {

class FakeDriver : public DeviceDriver {
 public:
  explicit FakeDriver(std::vector<int> capabilities) : capabilities_(std::move(capabilities)) {}
  std::size_t count() const override { return capabilities_.size(); }
  DeviceAbout about(std::size_t index) const override {
    return {"GPU " + std::to_string(index), capabilities_.at(index), 1000};
  }
  DeviceMemory memory(std::size_t /*index*/) const override { return {}; }
  void limit_memory(std::size_t /*index*/, std::size_t /*bytes*/) override {}
  void release_unused() override {}
  std::unique_ptr<DeviceGraph> capture(const std::function<void()>& /*queue*/,
                                       DeviceGraph* /*neighbour*/) override {
    return nullptr;
  }
  std::shared_ptr<DeviceProgram> compile(const DeviceProgramShape& /*shape*/) override {
    return nullptr;
  }

 private:
  std::vector<int> capabilities_;
};

GpuSource machine(FakeDriver& driver) {
  return {[&driver] {
            return DriverProbe{driver.count(), driver.count() == 0 ? "none here" : ""};
          },
          [&driver]() -> DeviceDriver& { return driver; }};
}

/// The driver is there, libtorch's CUDA part is not.
GpuSource half_machine() {
  return {[] {
            return DriverProbe{1, ""};
          },
          []() -> DeviceDriver& {
            throw StartupError(ExitCode::usage, "libtorch's CUDA part cannot be opened");
          }};
}

}  // namespace

TEST_CASE("--device: auto, cpu, all GPUs or some") {
  CHECK(parse_device("auto").kind == Kind::automatic);
  CHECK(parse_device("cpu").kind == Kind::cpu);
  CHECK(parse_device("cuda").kind == Kind::cuda);
  CHECK(parse_device("cuda").indices.empty());
  CHECK(parse_device("cuda:0").indices == Indices{0});
  CHECK(parse_device("cuda:0,1").indices == Indices{0, 1});
  CHECK(parse_device("cuda:12,3,0").indices == Indices{12, 3, 0});
}

TEST_CASE("--device: anything else is refused by name") {
  for (const char* text : {"tpu", "", "CUDA", "cuda:", "cuda:,", "cuda:0,", "cuda:,1", "cuda:a",
                           "cuda:-1", "cuda:1.5", "cuda 0", "cuda0", "cuda:0;1", "cuda:9999"}) {
    INFO(text);
    CHECK_THROWS_WITH(parse_device(text), Contains("device '" + std::string(text) + "'"));
  }
  CHECK_THROWS_WITH(parse_device("cuda:1,0,1"), Contains("1 is named twice"));
}

TEST_CASE("auto takes all GPUs, and the CPU where there is none") {
  FakeDriver two({90, 90});
  CHECK(choose_gpus(parse_device("auto"), machine(two)).indices == Indices{0, 1});
  CHECK(choose_gpus(parse_device("cpu"), machine(two)).driver == nullptr);
  FakeDriver none({});
  CHECK(choose_gpus(parse_device("auto"), machine(none)).driver == nullptr);
  CHECK(choose_gpus(parse_device("auto"), half_machine()).driver == nullptr);
}

TEST_CASE("a GPU that is asked for must be there") {
  FakeDriver none({});
  CHECK_THROWS_WITH(choose_gpus(parse_device("cuda"), machine(none)), "device 'cuda': none here");
  CHECK_THROWS_WITH(choose_gpus(parse_device("cuda"), half_machine()),
                    Contains("CUDA part cannot be opened"));
  FakeDriver two({90, 90});
  CHECK(choose_gpus(parse_device("cuda:1"), machine(two)).indices == Indices{1});
  CHECK_THROWS_WITH(choose_gpus(parse_device("cuda:0,2"), machine(two)),
                    Contains("'cuda:2': this machine has 2"));
}

TEST_CASE("GPUs of different kinds are no replicas of each other") {
  FakeDriver mixed({80, 90, 90});
  CHECK_THROWS_WITH(choose_gpus(parse_device("cuda"), machine(mixed)),
                    Contains("cuda:0 (GPU 0) and cuda:1 (GPU 1)"));
  CHECK(choose_gpus(parse_device("cuda:1,2"), machine(mixed)).indices == Indices{1, 2});
}

TEST_CASE("a machine without a driver has no device, and says why") {
  const DriverProbe probe = probe_driver("libnothing-of-this-name.so.1");
  CHECK(probe.devices == 0);
  CHECK_THAT(probe.problem, Contains("no NVIDIA driver") && Contains("libnothing-of-this-name"));
}

TEST_CASE("a driver has as many devices as it says, and none when it does not start") {
  const char* library = ML_WORKER_FAKE_DRIVER;
  setenv("FAKE_CUDA_DEVICES", "2", 1);
  CHECK(probe_driver(library).devices == 2);
  setenv("FAKE_CUDA_DEVICES", "0", 1);
  CHECK(probe_driver(library).devices == 0);
  setenv("FAKE_CUDA_DEVICES", "-1", 1);
  const DriverProbe probe = probe_driver(library);
  CHECK(probe.devices == 0);
  CHECK_THAT(probe.problem, Contains("no device (cuInit: 100)"));
  unsetenv("FAKE_CUDA_DEVICES");
}

TEST_CASE("a library that is no driver has no device") {
  const DriverProbe probe = probe_driver("libm.so.6");
  CHECK(probe.devices == 0);
  CHECK_THAT(probe.problem, Contains("cuInit"));
}

TEST_CASE("what drives the GPUs and cannot be opened is named") {
  const TemporaryDirectory directory;
  CHECK_THROWS_WITH(open_device_driver({directory.path() / "none.so"}),
                    Contains("libml_worker_cuda.so is not beside the program"));
  directory.write("broken.so", "this is no library");
  CHECK_THROWS_WITH(open_device_driver({directory.path() / "broken.so"}),
                    Contains("CUDA part cannot be opened") && Contains("broken.so"));
}

TEST_CASE("memory is bounded by bytes or by a fraction") {
  CHECK(memory_bound(0.0, 1000) == std::nullopt);
  CHECK(memory_bound(0.25, 1000) == 250);
  CHECK(memory_bound(1.0, 1000) == 1000);
  CHECK(memory_bound(600.0, 1000) == 600);
  CHECK(memory_bound(6000.0, 1000) == 1000);
}

TEST_CASE("types on a GPU") {
  CHECK(choose_cuda_precision(Dtype::automatic, 90) == Precision::float16);
  CHECK(choose_cuda_precision(Dtype::float16, 75) == Precision::float16);
  CHECK(choose_cuda_precision(Dtype::float32, 75) == Precision::float32);
  CHECK(choose_cuda_precision(Dtype::bfloat16, 80) == Precision::bfloat16);
  CHECK_THROWS_WITH(choose_cuda_precision(Dtype::bfloat16, 75), Contains("compute capability"));
  CHECK_THROWS_WITH(choose_cuda_precision(Dtype::int8, 90), Contains("'int8' is for the CPU"));
}
