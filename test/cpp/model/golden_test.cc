// Every architecture and head against what transformers computes, without Python.
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>

#include "ml_worker/model.h"
#include "ml_worker/startup_error.h"
#include "model/golden_model.h"
#include "model/int8_product.h"
#include "model/precision.h"
#include "support/vectors.h"

using namespace ml_worker;
using namespace ml_worker::testing;
using Catch::Matchers::Contains;

namespace {

const std::vector<std::string>& names() {
  static const std::vector<std::string> kNames = {
      "bert",       "bert_scores",       "camembert",         "distilbert", "distilbert_scores",
      "modernbert", "modernbert_biases", "modernbert_scores", "mpnet",      "mpnet_scores",
      "roberta",    "roberta_scores",    "xlm_roberta"};
  return kNames;
}

std::unique_ptr<Encoder> load(const TemporaryDirectory& directory, Dtype dtype = Dtype::float32) {
  ModelOptions options;
  options.dtype = dtype;
  return load_model(directory.path(), options);
}

/// Of each input alone, in the order given.
std::vector<float> one_by_one(Encoder& encoder, std::span<const EncoderInput> inputs) {
  std::vector<float> rows;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const auto row = forward(encoder, inputs.subspan(i, 1));
    rows.insert(rows.end(), row.begin(), row.end());
  }
  return rows;
}

}  // namespace

TEST_CASE("every architecture gives transformers' vectors") {
  for (const auto& name : names()) {
    INFO(name);
    const Golden model(name);
    const auto encoder = load(model.directory);
    const auto rows = forward(*encoder, model.inputs);
    const std::size_t size = encoder->description().dimensions;
    for (std::size_t i = 0; i < model.inputs.size(); ++i) {
      const auto expected = model.golden.at("outputs")[i].get<std::vector<float>>();
      REQUIRE(expected.size() == size);
      for (std::size_t j = 0; j < size; ++j) {
        INFO("input " << i << ", element " << j);
        CHECK(std::abs(rows[i * size + j] - expected[j]) < 1e-5F);
      }
    }
  }
}

TEST_CASE("no architecture's vectors depend on the batch, in float32, bfloat16 and int8") {
  for (const auto& name : names()) {
    const Golden model(name);
    std::vector<EncoderInput> reversed(model.inputs.rbegin(), model.inputs.rend());
    reversed.insert(reversed.end(), model.inputs.begin(), model.inputs.end());
    for (const Dtype dtype : {Dtype::float32, Dtype::bfloat16, Dtype::int8}) {
      INFO(name << ", dtype " << static_cast<int>(dtype));
      const auto encoder = load(model.directory, dtype);
      const auto alone = one_by_one(*encoder, model.inputs);
      CHECK(same_bytes(alone, forward(*encoder, model.inputs)));
      auto twice = forward(*encoder, reversed);
      twice.erase(twice.begin(), twice.begin() + static_cast<std::ptrdiff_t>(alone.size()));
      CHECK(same_bytes(alone, twice));
    }
  }
}

TEST_CASE("lower precision stays near") {
  for (const auto& name : names()) {
    const Golden model(name);
    const auto exact = load(model.directory);
    if (exact->description().task == ModelTask::classification) continue;
    const std::size_t size = exact->description().dimensions;
    const auto expected = forward(*exact, model.inputs);
    for (const auto& [dtype, least] : {std::pair(Dtype::bfloat16, 0.9995), {Dtype::int8, 0.98}}) {
      const auto rows = forward(*load(model.directory, dtype), model.inputs);
      for (std::size_t i = 0; i < rows.size(); i += size) {
        INFO(name << ", dtype " << static_cast<int>(dtype) << ", input " << i / size);
        CHECK(cosine(std::span(rows).subspan(i, size), std::span(expected).subspan(i, size)) >
              least);
      }
    }
  }
}

TEST_CASE("a classification model says so") {
  const Golden model("bert_scores");
  const auto encoder = load(model.directory);
  CHECK(encoder->description().task == ModelTask::classification);
  CHECK(encoder->description().labels == std::vector<std::string>{"LABEL_0", "LABEL_1", "LABEL_2"});
  CHECK(encoder->description().dimensions == 3);
  CHECK_FALSE(encoder->description().normalizes);
}

TEST_CASE("numerics name dtype, kernels and device") {
  const Golden model("bert");
  const CpuFeatures cpu = cpu_features();
  CHECK(load(model.directory)->description().numerics == "float32/native/cpu");
  CHECK(load(model.directory, Dtype::bfloat16)->description().numerics ==
        (cpu.avx512 ? "bfloat16/onednn/cpu" : "float32/native/cpu"));
  const bool seven_bits = int8_kernel() == Int8Kernel::avx2;
  CHECK(load(model.directory, Dtype::int8)->description().numerics ==
        (seven_bits ? "int8/native7/cpu" : "int8/native/cpu"));
}

TEST_CASE("tokens come in the order of the inputs, and their mean is the vector") {
  const Golden model("mpnet");
  const auto encoder = load(model.directory);
  const std::size_t size = encoder->description().token_dimensions;
  std::size_t count = 0;
  for (const auto& ids : model.ids) count += ids.size();
  std::vector<float> tokens(count * size);
  encoder->forward(model.inputs, EncoderOutput::tokens, tokens);
  const auto vectors = forward(*encoder, model.inputs);
  std::size_t row = 0;
  for (std::size_t i = 0; i < model.ids.size(); ++i) {
    double sum = 0;
    for (std::size_t t = 0; t < model.ids[i].size(); ++t) sum += double{tokens[row++ * size]};
    CHECK(sum / static_cast<double>(model.ids[i].size()) == Approx(vectors[i * size]).margin(1e-6));
  }
}

TEST_CASE("weights in several files and below a head's prefix give the same bytes") {
  const Golden model("bert");
  const auto expected = forward(*load(model.directory), model.inputs);

  const TemporaryDirectory parts;
  write_golden_model(parts, model.golden);
  std::filesystem::remove(parts.path() / "model.safetensors");
  std::vector<Tensor> first;
  std::vector<Tensor> second;
  nlohmann::json map = nlohmann::json::object();
  for (Tensor& tensor : golden_tensors(model.golden)) {
    tensor.name = "bert." + tensor.name;
    auto& part = first.size() > second.size() ? second : first;
    map[tensor.name] = &part == &first ? "a.safetensors" : "b.safetensors";
    part.push_back(std::move(tensor));
  }
  parts.write("a.safetensors", safetensors(first));
  parts.write("b.safetensors", safetensors(second));
  parts.write("model.safetensors.index.json", nlohmann::json({{"weight_map", map}}).dump());
  const auto encoder = load(parts);
  CHECK(same_bytes(forward(*encoder, model.inputs), expected));

  SECTION("each of the files counts in the identity") {
    second.front().values.front() += 1.0F;
    parts.write("b.safetensors", safetensors(second));
    CHECK(load(parts)->description().model_id != encoder->description().model_id);
  }
  SECTION("a file that is not there is named") {
    std::filesystem::remove(parts.path() / "b.safetensors");
    CHECK_THROWS_WITH(load(parts), Contains("b.safetensors"));
  }
  SECTION("a name that leads elsewhere is refused") {
    map.front() = "../a.safetensors";
    parts.write("model.safetensors.index.json", nlohmann::json({{"weight_map", map}}).dump());
    CHECK_THROWS_WITH(load(parts), Contains("'../a.safetensors' is not supported"));
  }
}

TEST_CASE("weights stored in bfloat16 are read") {
  const Golden model("distilbert");
  const auto expected = forward(*load(model.directory), model.inputs);
  model.directory.write("model.safetensors", safetensors(golden_tensors(model.golden), true));
  const auto rows = forward(*load(model.directory), model.inputs);
  CHECK(cosine(rows, expected) > 0.999);
}

TEST_CASE("Dense, LayerNorm and Normalize work on the pooled vector") {
  const Golden model("bert");
  const auto pooled = forward(*load(model.directory), model.inputs);

  const auto module = [](const std::string& type, const std::string& path) {
    return nlohmann::json({{"type", "sentence_transformers.models." + type}, {"path", path}});
  };
  model.directory.write(
      "modules.json",
      nlohmann::json({module("Transformer", ""), module("Pooling", "1_Pooling"),
                      module("Dense", "2_Dense"), module("Normalize", "3_Normalize")})
          .dump());
  model.directory.write("1_Pooling/config.json", R"({"word_embedding_dimension": 32})");
  model.directory.write("2_Dense/config.json",
                        R"({"in_features": 32, "out_features": 5, "bias": true,
      "activation_function": "torch.nn.modules.activation.Tanh"})");
  const Tensor weight{"linear.weight", {5, 32}, hashed_tensor("linear.weight", {5, 32})};
  const Tensor bias{"linear.bias", {5}, hashed_tensor("linear.bias", {5})};
  model.directory.write("2_Dense/model.safetensors", safetensors({weight, bias}));
  const auto encoder = load(model.directory);
  CHECK(encoder->description().dimensions == 5);
  CHECK(encoder->description().normalizes);
  const auto rows = forward(*encoder, model.inputs);
  for (std::size_t i = 0; i < model.inputs.size(); ++i) {
    for (std::size_t j = 0; j < 5; ++j) {
      double sum = double{bias.values[j]};
      for (std::size_t k = 0; k < 32; ++k) {
        sum += double{weight.values[j * 32 + k]} * double{pooled[i * 32 + k]};
      }
      CHECK(double{rows[i * 5 + j]} == Approx(std::tanh(sum)).margin(1e-5));
    }
  }
  SECTION("a module's weights count in the identity") {
    const Tensor other{"linear.bias", {5}, hashed_tensor("other", {5})};
    model.directory.write("2_Dense/model.safetensors", safetensors({weight, other}));
    CHECK(load(model.directory)->description().model_id != encoder->description().model_id);
  }
  SECTION("sizes that do not fit are refused") {
    model.directory.write("2_Dense/config.json", R"({"in_features": 33, "out_features": 5})");
    CHECK_THROWS_WITH(load(model.directory),
                      Contains("module '2_Dense' expects vectors of 33, gets 32"));
  }
  SECTION("an activation that is not known is refused by name") {
    model.directory.write("2_Dense/config.json", R"({"in_features": 32, "out_features": 5,
        "activation_function": "torch.nn.modules.activation.Hardswish"})");
    CHECK_THROWS_WITH(load(model.directory), Contains("Hardswish' is not supported"));
  }
  SECTION("pickled weights are never read") {
    std::filesystem::rename(model.directory.path() / "2_Dense/model.safetensors",
                            model.directory.path() / "2_Dense/pytorch_model.bin");
    CHECK_THROWS_WITH(load(model.directory), Contains("pytorch_model.bin is never read"));
  }
}

TEST_CASE("what the configuration promises and the weights do not keep is named") {
  auto golden = read_golden("modernbert");
  const TemporaryDirectory directory;
  const auto refusal = [&]() -> std::string {
    write_golden_model(directory, golden);
    try {
      load(directory);
      return "";
    } catch (const StartupError& error) {
      return error.what();
    }
  };
  golden["config"]["rope_parameters"]["full_attention"]["rope_type"] = "yarn";
  CHECK_THAT(refusal(), Contains("rope_type 'yarn' is not supported"));
  golden = read_golden("modernbert");
  golden["config"]["layer_types"] = {"full_attention"};
  CHECK_THAT(refusal(), Contains("'layer_types': expected an array of 4"));
  golden = read_golden("modernbert");
  golden["config"]["attention_bias"] = true;
  CHECK_THAT(refusal(), Contains("'layers.0.attn.Wqkv.bias' is missing"));
  golden = read_golden("bert");
  golden["tensors"].erase("encoder.layer.1.output.dense.bias");
  CHECK_THAT(refusal(), Contains("'encoder.layer.1.output.dense.bias' is missing"));
}
