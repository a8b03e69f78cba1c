// A stream of a device of one's own, for as long as one lives.
#pragma once

#include <c10/core/Stream.h>

#include <cstddef>

namespace ml_worker {

/// libtorch has 32 streams per device, hands them out in turns and never takes one back: the 33rd
/// is the first again. What two replicas queue on one stream would be recorded into each other's
/// graphs, so a stream is used by one at a time, and the next one takes that.
class StreamLease {
 public:
  static constexpr std::size_t kMost = 32;  ///< per device

  /// Throws std::runtime_error where all streams of the device are lent.
  explicit StreamLease(c10::Device device);
  ~StreamLease();
  StreamLease(const StreamLease&) = delete;
  StreamLease& operator=(const StreamLease&) = delete;

  c10::Stream get() const { return stream_; }

 private:
  c10::Stream stream_;
};

}  // namespace ml_worker
