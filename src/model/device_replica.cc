#include "model/device_replica.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/StreamGuard.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "ml_worker/log.h"
#include "model/device_fault.h"
#include "model/device_pooling.h"
#include "model/graph_cache.h"
#include "model/libtorch.h"
#include "model/pass.h"
#include "model/pass_shape.h"
#include "model/staging.h"
#include "model/stream_lease.h"

namespace ml_worker {
namespace {

constexpr std::size_t kGraphs = 128;

DeviceFault fault_of(const c10::Error& error) {
  if (dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr) {
    return DeviceFault::out_of_memory;
  }
  const auto* of_device = dynamic_cast<const c10::AcceleratorError*>(&error);
  return classify_device_error(
      of_device == nullptr ? std::nullopt : std::optional<int>(of_device->get_error_code()),
      error.what_without_backtrace());
}

/// Tensors of a pass inside `numbers`, as pass_numbers() lays them out.
Pass pass_over(const at::Tensor& numbers, const PassShape& shape, const Packing& packing) {
  const std::int64_t n = shape.tokens;
  return {packing,
          numbers.narrow(0, 0, n),
          numbers.narrow(0, n, n),
          numbers.narrow(0, 2 * n, n),
          numbers.narrow(0, 3 * n, shape.texts + 1),
          shape.longest};
}

/// A recorded pass of one shape: new numbers in, replayed, new states out, in the same memory.
struct RecordedPass {
  Packing packing;  ///< empty: a pass that takes texts of any lengths does not read it
  at::Tensor numbers;
  at::Tensor states;
  std::unique_ptr<DeviceGraph> graph;
};

class DeviceReplica : public Replica {
 public:
  DeviceReplica(std::shared_ptr<const Transformer> transformer, std::vector<PoolingMode> pooling,
                c10::Device device, DeviceDriver& driver)
      : transformer_(std::move(transformer)),
        pooling_(std::move(pooling)),
        device_(device),
        driver_(driver),
        stream_(device),
        numbers_(at::kInt, device),
        lengths_(at::kInt, device),
        weights_(at::kFloat, device),
        results_(at::kFloat, device),
        records_(transformer_->takes_any_lengths()),
        graphs_(kGraphs) {}

  std::vector<float> states(const PackedTokens& tokens) override {
    return on_stream([&] {
      const auto rows = fetch(states_of(tokens));
      return std::vector<float>(rows.begin(), rows.end());
    });
  }

  void pooled(std::span<const EncoderInput> inputs, const PackedTokens& tokens,
              std::span<float> rows) override {
    on_stream([&] {
      const auto vectors = fetch(pool_states(inputs, tokens));
      const std::size_t size = vectors.size() / inputs.size();
      const auto& order = tokens.packing.order;
      for (std::size_t i = 0; i < order.size(); ++i) {
        const auto vector = vectors.subspan(i * size, size);
        std::copy(vector.begin(), vector.end(),
                  rows.begin() + static_cast<std::ptrdiff_t>(order[i] * size));
      }
    });
  }

 private:
  /// libtorch's errors end here.
  template <typename Work>
  std::invoke_result_t<Work> on_stream(const Work& work) {
    try {
      const c10::InferenceMode no_gradients;
      const c10::StreamGuard guard(stream_.get());
      return work();
    } catch (const c10::Error& error) {
      recover(fault_of(error), error);
    }
  }

  [[noreturn]] void recover(DeviceFault fault, const c10::Error& error) {
    if (fault == DeviceFault::out_of_memory) graphs_.clear();
    try {
      // What is queued still reads the buffers that the next pass writes.
      stream_.get().synchronize();
    } catch (const c10::Error& after) {
      throw_device_fault(DeviceFault::lost,
                         libtorch::first_line(error) + "; then " + libtorch::first_line(after));
    }
    if (fault == DeviceFault::out_of_memory) release_unused();
    throw_device_fault(fault, libtorch::first_line(error));
  }

  /// The next pass is a smaller one and may fit without.
  void release_unused() {
    try {
      driver_.release_unused();
    } catch (const c10::Error& error) {
      log::warning("unused memory of a GPU could not be given back",
                   {{"what", log::printable(libtorch::first_line(error), 512)}});
    }
  }

  at::Tensor on_device(std::int64_t count, at::ScalarType type) const {
    return at::empty({count}, at::TensorOptions(type).device(device_));
  }

  /// [tokens, hidden], until the next pass.
  at::Tensor states_of(const PackedTokens& tokens) {
    const PassShape exact = shape_of(tokens.packing);
    if (const auto shape = records_ ? graph_shape(exact) : std::nullopt) {
      if (RecordedPass* recorded = recorded_pass(*shape, tokens)) {
        upload(tokens, *shape, recorded->numbers);
        recorded->graph->replay();
        return recorded->states.narrow(0, 0, exact.tokens);
      }
    }
    const at::Tensor numbers = on_device(exact.numbers(), at::kInt);
    upload(tokens, exact, numbers);
    return transformer_->states(pass_over(numbers, exact, tokens.packing));
  }

  void upload(const PackedTokens& tokens, const PassShape& shape, const at::Tensor& to) {
    const auto numbers = pass_numbers(transformer_->config(), tokens, shape);
    numbers_.upload(std::span<const std::int32_t>(numbers), to);
  }

  /// Null: run it without.
  RecordedPass* recorded_pass(const PassShape& shape, const PackedTokens& tokens) {
    try {
      return graphs_.find(shape, [&] { return record(shape, tokens); });
    } catch (const c10::Error& error) {
      if (fault_of(error) != DeviceFault::batch) throw;
      log::warning("a GPU graph could not be recorded; this replica runs without graphs",
                   {{"what", log::printable(libtorch::first_line(error), 512)}});
      records_ = false;
      graphs_.clear();
      stream_.get().synchronize();
      return nullptr;
    }
  }

  std::unique_ptr<RecordedPass> record(const PassShape& shape, const PackedTokens& tokens) {
    auto recorded = std::make_unique<RecordedPass>();
    recorded->numbers = on_device(shape.numbers(), at::kInt);
    const Pass pass = pass_over(recorded->numbers, shape, recorded->packing);
    // Once without recording: what libraries load and allocate at the first call cannot be
    // recorded.
    upload(tokens, shape, recorded->numbers);
    transformer_->states(pass);
    stream_.get().synchronize();
    RecordedPass* neighbour = graphs_.any();
    recorded->graph = driver_.capture(
        [&recorded = *recorded, pass, transformer = transformer_] {
          recorded.states = transformer->states(pass);
        },
        neighbour == nullptr ? nullptr : neighbour->graph.get());
    return recorded;
  }

  /// [texts, modes · hidden] as they lie.
  at::Tensor pool_states(std::span<const EncoderInput> inputs, const PackedTokens& tokens) {
    const at::Tensor states = states_of(tokens);
    const PoolingTables tables = pooling_tables(pooling_, inputs, tokens.packing);
    const auto modes = static_cast<std::int64_t>(pooling_.size());
    const at::Tensor lengths =
        on_device(static_cast<std::int64_t>(tables.lengths.size()), at::kInt);
    const at::Tensor weights =
        on_device(static_cast<std::int64_t>(tables.weights.size()), at::kFloat);
    lengths_.upload(std::span<const std::int32_t>(tables.lengths), lengths);
    weights_.upload(std::span<const float>(tables.weights), weights);
    return pool_packed(pooling_, states, lengths, weights.view({modes, states.size(0)}));
  }

  /// Waits for the device.
  std::span<const float> fetch(const at::Tensor& rows) {
    const auto fetched = results_.download(rows.to(at::kFloat).contiguous());
    stream_.get().synchronize();
    return fetched;
  }

  std::shared_ptr<const Transformer> transformer_;
  std::vector<PoolingMode> pooling_;
  c10::Device device_;
  DeviceDriver& driver_;
  StreamLease stream_;
  Staging numbers_;
  Staging lengths_;
  Staging weights_;
  Staging results_;
  bool records_;  ///< graphs
  GraphCache<RecordedPass> graphs_;
};

}  // namespace

std::unique_ptr<Replica> make_device_replica(std::shared_ptr<const Transformer> transformer,
                                             std::vector<PoolingMode> pooling, c10::Device device,
                                             DeviceDriver& driver) {
  return std::make_unique<DeviceReplica>(std::move(transformer), std::move(pooling), device,
                                         driver);
}

}  // namespace ml_worker
