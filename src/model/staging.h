// Buffers that copies between this machine and a device go through: pinned where the device is a
// GPU, so that a copy runs beside what other streams compute.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>

namespace ml_worker {

/// One copy at a time: the stream must have run the last one before the next is begun.
class Staging {
 public:
  Staging(at::ScalarType type, at::Device device)
      : options_(at::TensorOptions(type).pinned_memory(device.is_cuda())) {}

  /// Queues a copy of `numbers` (of this buffer's type) to `to`, [numbers.size()].
  template <typename Number>
  void upload(std::span<const Number> numbers, const at::Tensor& to) {
    const at::Tensor host = room(static_cast<std::int64_t>(numbers.size()));
    std::memcpy(host.data_ptr(), numbers.data(), numbers.size_bytes());
    to.copy_(host, true);
  }

  /// Queues a copy of `from`, contiguous; what it gives may be read when the stream has run it.
  std::span<const float> download(const at::Tensor& from) {
    const at::Tensor host = room(from.numel());
    host.copy_(from.view({from.numel()}), true);
    return {host.const_data_ptr<float>(), static_cast<std::size_t>(from.numel())};
  }

 private:
  at::Tensor room(std::int64_t numbers) {
    if (!buffer_.defined() || buffer_.numel() < numbers) {
      const std::int64_t doubled = buffer_.defined() ? 2 * buffer_.numel() : std::int64_t{0};
      buffer_ = at::empty({std::max(numbers, doubled)}, options_);
    }
    return buffer_.narrow(0, 0, numbers);
  }

  at::TensorOptions options_;
  at::Tensor buffer_;
};

}  // namespace ml_worker
