// What a GPU runs, on the CPU: the same layers with kernels for any device, the packing, the graphs
// (a graph runs what was recorded again, over the same tensors) and what becomes of errors.
#include "model/device_replica.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <limits>

#include "ml_worker/model.h"
#include "model/device_fault.h"
#include "model/directory.h"
#include "model/golden_model.h"
#include "model/kernels.h"
#include "model/weights.h"
#include "support/vectors.h"

using namespace ml_worker;
using namespace ml_worker::testing;
using Catch::Matchers::Contains;

namespace {

using Ids = std::vector<std::int32_t>;

class AgainGraph : public DeviceGraph {
 public:
  explicit AgainGraph(std::function<void()> queue) : queue_(std::move(queue)) {}
  void replay() override { queue_(); }

 private:
  std::function<void()> queue_;
};

class CpuDriver : public DeviceDriver {
 public:
  std::size_t count() const override { return 1; }
  DeviceAbout about(std::size_t /*index*/) const override { return {"CPU", 90, 1000}; }
  DeviceMemory memory(std::size_t /*index*/) const override { return {}; }
  void limit_memory(std::size_t /*index*/, std::size_t /*bytes*/) override {}
  void release_unused() override {
    ++released;
    TORCH_CHECK(!holds_on, "captures_underway.empty() INTERNAL ASSERT FAILED");
  }
  std::unique_ptr<DeviceGraph> capture(const std::function<void()>& queue,
                                       DeviceGraph* neighbour) override {
    if (fail) TORCH_CHECK(false, "operation not permitted when stream is capturing");
    queue();
    ++captured;
    shared += neighbour == nullptr ? 0 : 1;
    return std::make_unique<AgainGraph>(queue);
  }
  std::shared_ptr<DeviceProgram> compile(const DeviceProgramShape& /*shape*/) override {
    throw std::logic_error("replicas compile nothing");
  }

  bool fail = false;
  bool holds_on = false;  ///< to unused memory
  int captured = 0;
  int shared = 0;  ///< captured with a neighbour
  int released = 0;
};

/// Text by text, masks spelt out: what varlen attention is to give.
at::Tensor attend_by_bounds(const at::Tensor& qkv, const at::Tensor& bounds, std::int64_t longest,
                            std::int64_t window) {
  at::Tensor result = at::zeros({qkv.size(0), qkv.size(2), qkv.size(3)}, qkv.options());
  const auto* bound = bounds.const_data_ptr<std::int32_t>();
  REQUIRE(bound[0] == 0);
  REQUIRE(bound[bounds.size(0) - 1] == qkv.size(0));
  for (std::int64_t text = 0; text + 1 < bounds.size(0); ++text) {
    const std::int64_t length = bound[text + 1] - bound[text];
    REQUIRE(length >= 0);
    REQUIRE(length <= longest);
    if (length == 0) continue;
    at::Tensor mask = at::zeros({length, length}, qkv.options());
    for (std::int64_t i = 0; window >= 0 && i < length * length; ++i) {
      if (std::abs(i / length - i % length) <= window) continue;
      mask[i / length][i % length].fill_(-std::numeric_limits<float>::infinity());
    }
    // [3, heads, length, head size]
    const at::Tensor own = qkv.narrow(0, bound[text], length).permute({1, 2, 0, 3});
    result.narrow(0, bound[text], length)
        .copy_(at::scaled_dot_product_attention(own.select(0, 0).unsqueeze(0),
                                                own.select(0, 1).unsqueeze(0),
                                                own.select(0, 2).unsqueeze(0), mask)
                   .squeeze(0)
                   .transpose(0, 1));
  }
  return result;
}

Kernels any_device(Precision precision, VarlenAttention varlen = {}) {
  Kernels kernels(precision);
  kernels.only_cpu = false;
  kernels.varlen = std::move(varlen);
  return kernels;
}

/// A tiny model of transformers' on a device of the tests' own.
struct Model : Golden {
  using Golden::Golden;

  std::unique_ptr<Replica> replica(const Kernels& kernels) {
    const ModelDirectory contents = read_model_directory(directory.path());
    hidden = static_cast<std::size_t>(contents.config.hidden);
    const Weights weights(contents.transformer);
    return make_device_replica(
        std::make_shared<const Transformer>(contents.config, weights, kernels),
        contents.modules.pooling, c10::Device(c10::kCPU), driver);
  }

  std::vector<float> pooled(Replica& replica, std::span<const EncoderInput> texts) const {
    std::vector<float> rows(texts.size() * hidden);
    replica.pooled(texts, pack_tokens(texts), rows);
    return rows;
  }

  void check_golden(const std::vector<float>& rows, float margin) const {
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const auto expected = golden.at("outputs")[i].get<std::vector<float>>();
      for (std::size_t j = 0; j < hidden; ++j) {
        INFO("input " << i << ", element " << j);
        CHECK(std::abs(rows[i * hidden + j] - expected[j]) < margin);
      }
    }
  }

  std::size_t hidden = 0;
  CpuDriver driver;
};

}  // namespace

TEST_CASE("kernels for any device give transformers' vectors, texts of equal length at once") {
  for (const auto& name : golden_embedders()) {
    INFO(name);
    Model model(name);
    const auto replica = model.replica(any_device(Precision::float32));
    model.check_golden(model.pooled(*replica, model.inputs), 1e-5F);
    CHECK(model.driver.captured == 0);
  }
}

TEST_CASE("so does attention over texts of any lengths, first, recorded and replayed") {
  for (const auto& name : golden_embedders()) {
    INFO(name);
    Model model(name);
    const auto replica = model.replica(any_device(Precision::float32, attend_by_bounds));
    for (int pass = 0; pass < 4; ++pass) {
      INFO("pass " << pass);
      model.check_golden(model.pooled(*replica, model.inputs), 1e-5F);
    }
    // MPNet's bias needs texts of equal length.
    CHECK(model.driver.captured == (name == "mpnet" ? 0 : 1));
  }
}

TEST_CASE("bfloat16 stays near") {
  for (const auto& name : {"bert", "modernbert", "mpnet"}) {
    INFO(name);
    Model model(name);
    const auto replica = model.replica(any_device(Precision::bfloat16, attend_by_bounds));
    model.check_golden(model.pooled(*replica, model.inputs), 0.1F);
  }
}

TEST_CASE("states come in the order in which texts are packed") {
  Model model("bert");
  const auto replica = model.replica(any_device(Precision::float32, attend_by_bounds));
  const PackedTokens tokens = pack_tokens(model.inputs);
  const auto states = replica->states(tokens);
  CHECK(states.size() == tokens.packing.tokens * model.hidden);
  const auto vectors = model.pooled(*replica, model.inputs);
  for (std::size_t text = 0; text < model.inputs.size(); ++text) {
    double sum = 0;
    for (std::size_t t = 0; t < model.ids[text].size(); ++t) {
      sum += double{states[(tokens.packing.first_tokens[text] + t) * model.hidden]};
    }
    CHECK(sum / static_cast<double>(model.ids[text].size()) ==
          Approx(vectors[text * model.hidden]).margin(1e-5));
  }
}

TEST_CASE("a graph takes other texts of its shape, and what it leaves free changes no text") {
  Model model("bert");
  const auto replica = model.replica(any_device(Precision::float32, attend_by_bounds));
  const auto plain = model.replica(any_device(Precision::float32, attend_by_bounds));
  const std::vector<Ids> other = {{5, 6, 7}, {8}, {9, 10, 11, 12, 13}, {14, 15}};
  const std::vector<EncoderInput> inputs(other.begin(), other.end());
  const std::vector<Ids> same_shape = {{15}, {6, 5}, {11, 12, 13}, {7, 14, 15, 8, 9}};
  const std::vector<EncoderInput> further(same_shape.begin(), same_shape.end());
  model.pooled(*replica, inputs);
  model.pooled(*replica, inputs);
  CHECK(model.driver.captured == 1);
  // Each text alone, without a graph and without fillers.
  for (const auto& texts : {inputs, further, inputs}) {
    const auto rows = model.pooled(*replica, texts);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const auto alone_replica = model.replica(any_device(Precision::float32, attend_by_bounds));
      const auto alone = model.pooled(*alone_replica, std::span(texts).subspan(i, 1));
      for (std::size_t j = 0; j < model.hidden; ++j) {
        CHECK(rows[i * model.hidden + j] == Approx(alone[j]).margin(1e-6));
      }
    }
  }
  CHECK(model.driver.captured == 1);
  CHECK(same_bytes(model.pooled(*replica, inputs), model.pooled(*replica, inputs)));
}

TEST_CASE("graphs of one replica share their memory") {
  Model model("bert");
  const auto replica = model.replica(any_device(Precision::float32, attend_by_bounds));
  for (const std::size_t length : {10, 10, 20, 20, 40, 40}) {
    const Ids text(length, 7);
    model.pooled(*replica, std::vector<EncoderInput>{EncoderInput(text)});
  }
  CHECK(model.driver.captured == 3);
  CHECK(model.driver.shared == 2);
}

TEST_CASE("a batch too large for graphs runs without") {
  Model model("bert");
  const auto replica = model.replica(any_device(Precision::float32, attend_by_bounds));
  const Ids text(40, 7);
  const std::vector<EncoderInput> inputs(110, EncoderInput(text));
  for (int i = 0; i < 3; ++i) model.pooled(*replica, inputs);
  CHECK(model.driver.captured == 0);
}

TEST_CASE("a replica whose graphs cannot be recorded goes on without") {
  Model model("bert");
  model.driver.fail = true;
  const auto replica = model.replica(any_device(Precision::float32, attend_by_bounds));
  for (int i = 0; i < 3; ++i) model.check_golden(model.pooled(*replica, model.inputs), 1e-5F);
  model.driver.fail = false;
  model.check_golden(model.pooled(*replica, model.inputs), 1e-5F);
  CHECK(model.driver.captured == 0);
}

TEST_CASE("errors of the device are told apart, and the next batch works") {
  Model model("bert");
  std::function<void()> trouble;
  const auto replica = model.replica(
      any_device(Precision::float32, [&trouble](const at::Tensor& qkv, const at::Tensor& bounds,
                                                std::int64_t longest, std::int64_t window) {
        if (trouble) trouble();
        return attend_by_bounds(qkv, bounds, longest, window);
      }));
  const auto pass = [&] { return model.pooled(*replica, model.inputs); };
  SECTION("out of memory") {
    trouble = [] { TORCH_CHECK_WITH(OutOfMemoryError, false, "CUDA out of memory. Tried"); };
    CHECK_THROWS_AS(pass(), OutOfDeviceMemory);
    CHECK(model.driver.released == 1);
  }
  SECTION("out of memory, and unused memory is not given back: the device is not lost") {
    model.driver.holds_on = true;
    trouble = [] { TORCH_CHECK_WITH(OutOfMemoryError, false, "CUDA out of memory. Tried"); };
    CHECK_THROWS_AS(pass(), OutOfDeviceMemory);
  }
  SECTION("a poisoned context") {
    trouble = [] {
      throw c10::AcceleratorError({__func__, __FILE__, __LINE__}, 700, "CUDA error: illegal");
    };
    CHECK_THROWS_WITH(pass(), Contains("device lost: CUDA error: illegal"));
    CHECK_THROWS_AS(pass(), DeviceLost);
  }
  SECTION("a batch that is wrong") {
    trouble = [] { TORCH_CHECK(false, "shapes"); };
    CHECK_THROWS_WITH(pass(), "shapes");
  }
  SECTION("out of memory while a graph is recorded: all graphs go") {
    pass();
    pass();
    CHECK(model.driver.captured == 1);
    const Ids text(33, 7);
    const std::vector<EncoderInput> other{EncoderInput(text)};
    model.pooled(*replica, other);
    trouble = [] { TORCH_CHECK_WITH(OutOfMemoryError, false, "CUDA out of memory. Tried"); };
    CHECK_THROWS_AS(model.pooled(*replica, other), OutOfDeviceMemory);
    trouble = nullptr;
    pass();
    CHECK(model.driver.captured == 1);
    pass();
    CHECK(model.driver.captured == 2);
  }
  trouble = nullptr;
  model.check_golden(pass(), 1e-5F);
}
