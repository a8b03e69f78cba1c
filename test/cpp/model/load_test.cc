// The real model: models/all-MiniLM-L6-v2, which scripts/setup brings.
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <list>
#include <random>
#include <thread>

#include "ml_worker/model.h"
#include "ml_worker/startup_error.h"
#include "model/threads.h"
#include "support/temporary_directory.h"
#include "support/vectors.h"

using namespace ml_worker;
using namespace ml_worker::testing;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

namespace {

using Ids = std::vector<std::int32_t>;

fs::path model_path() {
  const char* set = std::getenv("ML_WORKER_TEST_MODEL");
  if (set != nullptr) return set;
  return fs::path(ML_WORKER_SOURCE_DIR) / "models/all-MiniLM-L6-v2";
}

Encoder& encoder() {
  static const std::unique_ptr<Encoder> kEncoder = load_model(model_path(), {});
  return *kEncoder;
}

std::vector<float> forward(const std::vector<Ids>& texts) {
  const std::vector<EncoderInput> inputs(texts.begin(), texts.end());
  std::vector<float> vectors(texts.size() * encoder().description().dimensions);
  encoder().forward(inputs, EncoderOutput::vectors, vectors);
  return vectors;
}

std::vector<float> embed(std::string_view text) {
  return forward({encoder().tokenizer().encode(text, 256, TruncationSide::right).ids});
}

/// Texts of random ids, of 1 to `longest` tokens.
std::vector<Ids> random_texts(std::size_t count, std::size_t longest) {
  std::mt19937 random(7);
  std::vector<Ids> texts(count);
  for (Ids& text : texts) {
    text.resize(1 + random() % longest);
    for (auto& id : text) id = static_cast<std::int32_t>(random() % 30522);
  }
  return texts;
}

fs::path copy_model(const TemporaryDirectory& directory) {
  const fs::path copy = directory.path() / "copy";
  fs::copy(model_path(), copy, fs::copy_options::recursive);
  return copy;
}

void append(const fs::path& file, std::string_view text) {
  std::ofstream(file, std::ios::app) << text;
}

std::string refusal(const fs::path& directory, const ModelOptions& options = {}) {
  try {
    load_model(directory, options);
    return "";
  } catch (const StartupError& error) {
    return std::to_string(static_cast<int>(error.code())) + " " + error.what();
  }
}

}  // namespace

TEST_CASE("the real model says what it is") {
  const ModelDescription& description = encoder().description();
  CHECK(description.name == "all-MiniLM-L6-v2");
  CHECK(description.dimensions == 384);
  CHECK(description.max_tokens == 256);
  CHECK(description.normalizes);
  CHECK(description.numerics == "float32/native/cpu");
  CHECK(description.model_id.size() == 16);
  CHECK(description.weight_bytes > 90'000'000);
  CHECK(encoder().tokenizer().vocabulary_size() == 30522);
}

TEST_CASE("texts that mean the same are near, others are not") {
  const auto cat = embed("A cat sits on the mat.");
  CHECK(cosine(cat, embed("There is a cat on a rug.")) > 0.6);
  CHECK(cosine(cat, embed("Quarterly revenue rose by nine percent.")) < 0.2);
}

TEST_CASE("a text's vector is the same to the byte whatever else is in the batch") {
  const std::vector<Ids> texts = random_texts(300, 40);
  const std::vector<float> together = forward(texts);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const std::vector<float> alone = forward({texts[i]});
    INFO("text " << i << " of " << texts[i].size() << " tokens");
    CHECK(std::memcmp(alone.data(), together.data() + i * 384, 384 * sizeof(float)) == 0);
  }
}

TEST_CASE("long texts, alone and beside short ones") {
  std::vector<Ids> texts = random_texts(12, 256);
  texts.push_back(Ids(256, 2000));
  const std::vector<float> together = forward(texts);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const std::vector<float> alone = forward({texts[i]});
    CHECK(std::memcmp(alone.data(), together.data() + i * 384, 384 * sizeof(float)) == 0);
    CHECK(
        std::all_of(alone.begin(), alone.end(), [](float value) { return std::isfinite(value); }));
  }
}

TEST_CASE("another thread gets the same bytes") {
  const std::vector<Ids> texts = random_texts(20, 30);
  const std::vector<float> here = forward(texts);
  std::vector<float> there;
  std::thread([&] { there = forward(texts); }).join();
  CHECK(std::memcmp(here.data(), there.data(), here.size() * sizeof(float)) == 0);
}

TEST_CASE("passes at the same time get the same bytes, with as few threads as are left to each") {
  ModelOptions options;
  options.compute_threads = 8;  // more than there are cores, maybe: what counts is how work is cut
  for (const Dtype dtype : {Dtype::float32, Dtype::bfloat16, Dtype::int8}) {
    options.dtype = dtype;
    const auto shared = load_model(model_path(), options);
    CHECK(shared->replicas() == 8);
    for (const std::size_t count : {1U, 24U}) {
      const std::vector<Ids> texts = random_texts(count, 60);
      const std::vector<EncoderInput> inputs(texts.begin(), texts.end());
      std::vector<float> alone(count * 384);
      shared->forward(inputs, EncoderOutput::vectors, alone);
      std::list<ComputeShare> others;
      for (int i = 0; i < 8; ++i) {
        others.emplace_back();
        std::vector<float> rows(count * 384);
        shared->replica(i).forward(inputs, EncoderOutput::vectors, rows);
        INFO("dtype " << static_cast<int>(dtype) << ", beside " << others.size() << " passes");
        CHECK(std::memcmp(alone.data(), rows.data(), rows.size() * sizeof(float)) == 0);
      }
    }
  }
  prepare_threads(1);
}

TEST_CASE("forward passes are as many as there are threads, or fewer") {
  ModelOptions options;
  options.compute_threads = 3;
  CHECK(load_model(model_path(), options)->replicas() == 3);
  options.forward_passes = 2;
  CHECK(load_model(model_path(), options)->replicas() == 2);
  options.forward_passes = 5;
  CHECK(load_model(model_path(), options)->replicas() == 3);
  prepare_threads(1);
}

TEST_CASE("batches that cannot be computed are refused, and the next one works") {
  CHECK_THROWS_AS(forward({Ids{}}), EncoderError);
  CHECK_THROWS_AS(forward({Ids(257, 5)}), EncoderError);
  CHECK_THROWS_AS(forward({Ids{101, -1, 102}}), EncoderError);
  CHECK_THROWS_AS(forward({Ids{101, 30522, 102}}), EncoderError);
  const Ids text = {101, 102};
  const std::vector<EncoderInput> inputs = {EncoderInput(text)};
  std::vector<float> small(383);
  CHECK_THROWS_AS(encoder().forward(inputs, EncoderOutput::vectors, small), EncoderError);
  CHECK(forward({text}).size() == 384);
  CHECK(forward({}).empty());
}

TEST_CASE("devices and types that are not there are refused by name") {
  ModelOptions options;
  options.device = "tpu";
  CHECK_THAT(refusal(model_path(), options), Contains("64 device 'tpu': expected auto, cpu, cuda"));
  options.device = "cuda:999";
  CHECK_THAT(refusal(model_path(), options), Contains("64 device 'cuda"));
  options.device = "cpu";
  options.compute_threads = -1;
  CHECK_THAT(refusal(model_path(), options), Contains("64 compute threads"));
  options.compute_threads = 0;
  options.forward_passes = -1;
  CHECK_THAT(refusal(model_path(), options), Contains("64 forward passes"));
}

TEST_CASE("a model that is changed has another identity, a copy has the same") {
  const TemporaryDirectory directory;
  const fs::path copy = copy_model(directory);
  const std::string id = encoder().description().model_id;
  CHECK(load_model(copy, {})->description().model_id == id);
  append(copy / "README.md", " ");
  CHECK(load_model(copy, {})->description().model_id == id);
  append(copy / "tokenizer.json", " ");
  CHECK(load_model(copy, {})->description().model_id != id);
}

TEST_CASE("broken model files are refused and named") {
  const TemporaryDirectory directory;
  const fs::path copy = copy_model(directory);
  SECTION("weights cut short") {
    fs::resize_file(copy / "model.safetensors", 1'000'000);
    CHECK_THAT(refusal(copy), Contains("65 ") && Contains("model.safetensors"));
  }
  SECTION("another shape") {
    const std::string text = R"({"model_type": "bert", "vocab_size": 30522, "hidden_size": 384,
        "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1535,
        "max_position_embeddings": 512, "type_vocab_size": 2})";
    directory.write("copy/config.json", text);
    CHECK_THAT(refusal(copy), Contains("expected shape [1535, 384], got [1536, 384]"));
  }
  SECTION("more layers than there are") {
    const std::string text = R"({"model_type": "bert", "vocab_size": 30522, "hidden_size": 384,
        "num_hidden_layers": 7, "num_attention_heads": 12, "intermediate_size": 1536,
        "max_position_embeddings": 512, "type_vocab_size": 2})";
    directory.write("copy/config.json", text);
    CHECK_THAT(refusal(copy), Contains("'encoder.layer.6.attention.self.query.weight' is missing"));
  }
  SECTION("no tokenizer") {
    fs::remove(copy / "tokenizer.json");
    fs::remove(copy / "vocab.txt");
    CHECK_THAT(refusal(copy), Contains("tokenizer.json") && Contains("vocab.txt"));
  }
  SECTION("a vocabulary that is larger than the model") {
    append(copy / "vocab.txt", "extra\n");
    fs::remove(copy / "tokenizer.json");
    CHECK_THAT(refusal(copy), Contains("the tokenizer has 30523 tokens, the model 30522"));
  }
  SECTION("no model") { CHECK_THAT(refusal(copy / "none"), Contains("65 ")); }
}
