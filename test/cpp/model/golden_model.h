// Tiny models whose weights come from a counter-based hash, with the vectors that transformers
// computes with them: golden/NAME.json, written by test/parity/golden_models.py.
#pragma once

#include <bit>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ml_worker/encoder.h"
#include "support/temporary_directory.h"
#include "tokenizer/small_tokenizer.h"

namespace ml_worker::testing {

inline nlohmann::json read_golden(const std::string& name) {
  const char* elsewhere = std::getenv("ML_WORKER_TEST_GOLDEN");
  const std::filesystem::path folder = elsewhere != nullptr ? elsewhere : ML_WORKER_GOLDEN;
  const std::filesystem::path path = folder / (name + ".json");
  return nlohmann::json::parse(std::ifstream(path));
}

/// Numbers in [-1, 1): splitmix64 of the name's FNV-1a hash plus a counter.
inline std::vector<float> hashed(std::string_view name, std::size_t count) {
  std::uint64_t seed = 0xCBF29CE484222325ULL;
  for (const char byte : name) seed = (seed ^ static_cast<unsigned char>(byte)) * 0x100000001B3ULL;
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    std::uint64_t x = (i + 1) * 0x9E3779B97F4A7C15ULL + seed;
    x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9ULL;
    x = (x ^ (x >> 27U)) * 0x94D049BB133111EBULL;
    x ^= x >> 31U;
    values[i] = static_cast<float>(x >> 40U) / 8388608.0F - 1.0F;
  }
  return values;
}

inline std::vector<float> hashed_tensor(const std::string& name,
                                        const std::vector<std::size_t>& shape) {
  const std::size_t count =
      std::accumulate(shape.begin(), shape.end(), std::size_t{1}, std::multiplies<>());
  std::vector<float> values = hashed(name, count);
  const float one = shape.size() == 1 && name.ends_with(".weight") ? 1.0F : 0.0F;
  for (float& value : values) value = value * (shape.size() == 1 ? 0.125F : 0.25F) + one;
  return values;
}

struct Tensor {
  std::string name;
  std::vector<std::size_t> shape;
  std::vector<float> values;
};

inline std::string safetensors(const std::vector<Tensor>& tensors, bool bfloat16 = false) {
  nlohmann::json header = nlohmann::json::object();
  std::string data;
  for (const Tensor& tensor : tensors) {
    const std::size_t begin = data.size();
    for (const float value : tensor.values) {
      const auto bits = std::bit_cast<std::uint32_t>(value);
      const auto half = static_cast<std::uint16_t>(bits >> 16U);
      data.append(
          bfloat16 ? reinterpret_cast<const char*>(&half) : reinterpret_cast<const char*>(&bits),
          bfloat16 ? sizeof half : sizeof bits);
    }
    header[tensor.name] = {{"dtype", bfloat16 ? "BF16" : "F32"},
                           {"shape", tensor.shape},
                           {"data_offsets", {begin, data.size()}}};
  }
  const std::string text = header.dump();
  const std::uint64_t size = text.size();
  return std::string(reinterpret_cast<const char*>(&size), sizeof size) + text + data;
}

inline std::vector<Tensor> golden_tensors(const nlohmann::json& golden) {
  std::vector<Tensor> tensors;
  for (const auto& [name, shape] : golden.at("tensors").items()) {
    const auto sizes = shape.get<std::vector<std::size_t>>();
    tensors.push_back({name, sizes, hashed_tensor(name, sizes)});
  }
  return tensors;
}

/// A directory as transformers saves one.
inline void write_golden_model(const TemporaryDirectory& directory, const nlohmann::json& golden) {
  directory.write("config.json", golden.at("config").dump());
  // Not the class that the architecture's own tokenizer has: its special tokens are others.
  directory.write("tokenizer_config.json", R"({"tokenizer_class": "PreTrainedTokenizerFast"})");
  directory.write("tokenizer.json", small_tokenizer_json().dump());
  directory.write("model.safetensors", safetensors(golden_tensors(golden)));
}

/// A model written to a folder, and its inputs.
struct Golden {
  explicit Golden(const std::string& name) : golden(read_golden(name)) {
    write_golden_model(directory, golden);
    for (const auto& item : golden.at("inputs")) ids.push_back(item.at("ids"));
    for (std::size_t i = 0; i < ids.size(); ++i) {
      inputs.emplace_back(ids[i]);
      inputs.back().second_start = golden.at("inputs")[i].at("second_start");
    }
  }

  nlohmann::json golden;
  TemporaryDirectory directory;
  std::vector<std::vector<std::int32_t>> ids;
  std::vector<EncoderInput> inputs;
};

/// Those that give a sentence's vector.
inline const std::vector<std::string>& golden_embedders() {
  static const std::vector<std::string> kNames = {"bert",       "camembert",         "distilbert",
                                                  "modernbert", "modernbert_biases", "mpnet",
                                                  "roberta",    "xlm_roberta"};
  return kNames;
}

inline std::vector<float> forward(Encoder& encoder, std::span<const EncoderInput> inputs) {
  std::vector<float> rows(inputs.size() * encoder.description().dimensions);
  encoder.forward(inputs, EncoderOutput::vectors, rows);
  return rows;
}

}  // namespace ml_worker::testing
