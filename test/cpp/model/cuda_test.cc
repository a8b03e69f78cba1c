// On a GPU: scripts/test-cuda runs these, by their tags, where a driver is.
#include <catch2/catch.hpp>
#include <cmath>
#include <thread>

#include "ml_worker/model.h"
#include "model/backend.h"
#include "model/device_fault.h"
#include "model/directory.h"
#include "model/golden_model.h"
#include "model/gpus.h"
#include "model/weights.h"
#include "support/vectors.h"

using namespace ml_worker;
using namespace ml_worker::testing;

namespace {

std::unique_ptr<Encoder> load(const Golden& model, Dtype dtype, double memory = 0.0) {
  ModelOptions options;
  options.device = "cuda";
  options.dtype = dtype;
  options.device_memory = memory;
  return load_model(model.directory.path(), options);
}

/// The smallest of all inputs, to what transformers gave.
double least_cosine(const Golden& model, const std::vector<float>& rows) {
  double least = 1.0;
  const std::size_t size = rows.size() / model.inputs.size();
  for (std::size_t i = 0; i < model.inputs.size(); ++i) {
    const auto expected = model.golden.at("outputs")[i].get<std::vector<float>>();
    least = std::min(least, cosine(std::span(rows).subspan(i * size, size), expected));
  }
  return least;
}

}  // namespace

TEST_CASE("a GPU gives transformers' vectors: eagerly, recorded, replayed", "[.cuda]") {
  for (const auto& name : golden_embedders()) {
    const Golden model(name);
    for (const auto& [dtype, least] : {std::pair(Dtype::float32, 0.9999999),
                                       {Dtype::float16, 0.9999},
                                       {Dtype::bfloat16, 0.9995}}) {
      const auto encoder = load(model, dtype);
      INFO(name << ", " << encoder->description().numerics);
      for (int pass = 0; pass < 4; ++pass) {
        INFO("pass " << pass);
        CHECK(least_cosine(model, forward(*encoder, model.inputs)) > least);
      }
    }
  }
}

TEST_CASE("numerics and devices name the GPU", "[.cuda]") {
  const Golden model("bert");
  const auto encoder = load(model, Dtype::automatic);
  CHECK(encoder->description().numerics.starts_with("float16/flash/cuda-sm"));
  REQUIRE_FALSE(encoder->devices().empty());
  const DeviceStatus device = encoder->devices().front();
  CHECK(device.device == "cuda:0");
  CHECK_FALSE(device.name.empty());
  CHECK(device.used_bytes > 0);
  CHECK(device.reserved_bytes >= device.used_bytes);
  CHECK(device.memory_bytes > device.reserved_bytes);
}

TEST_CASE("all replicas compute at the same time, and the same", "[.cuda]") {
  const Golden model("modernbert");
  const auto encoder = load(model, Dtype::float16);
  REQUIRE(encoder->replicas() >= 2);
  std::vector<std::vector<double>> least(encoder->replicas());
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < encoder->replicas(); ++i) {
    threads.emplace_back([&, i] {
      for (int pass = 0; pass < 50; ++pass) {
        // Shapes of their own, so that some record while others replay.
        const auto some = std::span(model.inputs).first(1 + (i + pass) % model.inputs.size());
        forward(encoder->replica(i), some);
        least[i].push_back(least_cosine(model, forward(encoder->replica(i), model.inputs)));
      }
    });
  }
  for (auto& thread : threads) thread.join();
  for (const auto& of_replica : least) {
    for (const double one : of_replica) CHECK(one > 0.9999);
  }
}

TEST_CASE("what a batch holds besides changes a text by rounding only", "[.cuda]") {
  const Golden model("bert");
  const auto encoder = load(model, Dtype::float16);
  const auto together = forward(*encoder, model.inputs);
  double largest = 0;
  const std::size_t size = encoder->description().dimensions;
  for (std::size_t i = 0; i < model.inputs.size(); ++i) {
    const auto alone = forward(*encoder, std::span(model.inputs).subspan(i, 1));
    for (std::size_t j = 0; j < size; ++j) {
      largest = std::max(largest, std::abs(double{alone[j]} - double{together[i * size + j]}));
    }
  }
  WARN("largest difference between alone and in a batch: " << largest);
  CHECK(largest < 2e-2);
}

// In a process of its own: libtorch keeps workspaces of earlier cases, which count against the
// bound.
TEST_CASE("a batch that does not fit is computed in parts", "[.cuda-memory]") {
  const Golden model("bert");
  const auto encoder = load(model, Dtype::float16, 600e6);
  const std::vector<std::int32_t> text(40, 7);
  // FlashAttention takes 65,535 texts.
  const std::vector<EncoderInput> inputs(60000, EncoderInput(text));
  const auto rows = forward(*encoder, inputs);
  const auto one = forward(*encoder, std::span(inputs).first(1));
  const std::size_t size = encoder->description().dimensions;
  for (std::size_t i = 0; i < inputs.size(); i += 9999) {
    CHECK(cosine(std::span(rows).subspan(i * size, size), one) > 0.9999);
  }
  CHECK(encoder->devices().front().batch_tokens > 0);
  CHECK(encoder->devices().front().batch_tokens < 4000000);
}

TEST_CASE("an id that is in no table poisons the context, and that is seen", "[.cuda-poison]") {
  const Golden model("bert");
  const Gpus gpus =
      choose_gpus(parse_device("cuda:0"),
                  {[] { return probe_driver(); },
                   []() -> DeviceDriver& { return open_device_driver(device_driver_paths()); }});
  const ModelDirectory contents = read_model_directory(model.directory.path());
  const Weights weights(contents.transformer);
  Backend backend = load_on_gpus(
      {contents.config, weights, contents.modules.pooling, Precision::float16}, {}, gpus);
  const std::vector<std::int32_t> ids = {1, 1000000000};
  const std::vector<EncoderInput> inputs{EncoderInput(ids)};
  REQUIRE_THROWS_AS(backend.replicas.front()->states(pack_tokens(inputs)), DeviceLost);
  REQUIRE_THROWS_AS(backend.replicas.back()->states(pack_tokens(inputs)), DeviceLost);
  // Whatever is left of the context cannot be given back; a failure has thrown by now.
  std::_Exit(0);
}
