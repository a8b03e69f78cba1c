#include "model/stream_lease.h"

#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <fmt/format.h>

#include <mutex>
#include <stdexcept>
#include <unordered_map>
#include <vector>

namespace ml_worker {
namespace {

/// Of one device: those that came back, and how many libtorch was asked for.
struct Streams {
  std::vector<c10::Stream> idle;
  std::size_t made = 0;
};

class Lender {
 public:
  c10::Stream take(c10::Device device) {
    const std::lock_guard lock(mutex_);
    Streams& streams = by_device_[device];
    if (!streams.idle.empty()) {
      const c10::Stream stream = streams.idle.back();
      streams.idle.pop_back();
      return stream;
    }
    if (streams.made == StreamLease::kMost) {
      throw std::runtime_error(fmt::format("{}: at most {} replicas, of all models, share a device",
                                           device.str(), StreamLease::kMost));
    }
    ++streams.made;
    return c10::impl::getDeviceGuardImpl(device.type())->getNewStream(device);
  }

  void give_back(c10::Stream stream) {
    const std::lock_guard lock(mutex_);
    by_device_[stream.device()].idle.push_back(stream);
  }

 private:
  std::mutex mutex_;
  std::unordered_map<c10::Device, Streams> by_device_;
};

Lender& lender() {
  static Lender of_this_process;
  return of_this_process;
}

}  // namespace

StreamLease::StreamLease(c10::Device device) : stream_(lender().take(device)) {}

StreamLease::~StreamLease() { lender().give_back(stream_); }

}  // namespace ml_worker
