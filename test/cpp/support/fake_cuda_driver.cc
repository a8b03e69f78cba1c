// A driver's library as gpus.cc asks it: FAKE_CUDA_DEVICES says how many devices there are, a
// number below 0 that it does not start.
#include <cstdlib>

namespace {
int devices() {
  const char* set = std::getenv("FAKE_CUDA_DEVICES");
  return set == nullptr ? 1 : std::atoi(set);
}
}  // namespace

extern "C" int cuInit(unsigned /*flags*/) { return devices() < 0 ? 100 : 0; }

extern "C" int cuDeviceGetCount(int* count) {
  *count = devices();
  return 0;
}
