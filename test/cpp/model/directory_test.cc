#include "model/directory.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "ml_worker/startup_error.h"
#include "support/temporary_directory.h"

using namespace ml_worker;
using namespace ml_worker::testing;
using Catch::Matchers::Contains;

namespace {

nlohmann::json config_json() {
  return {{"model_type", "bert"},    {"hidden_act", "gelu"},          {"vocab_size", 100},
          {"hidden_size", 12},       {"num_hidden_layers", 2},        {"num_attention_heads", 3},
          {"intermediate_size", 24}, {"max_position_embeddings", 64}, {"type_vocab_size", 2},
          {"layer_norm_eps", 1e-12}};
}

void write_transformer(const TemporaryDirectory& directory,
                       const nlohmann::json& config = config_json()) {
  directory.write("config.json", config.dump());
  directory.write("model.safetensors", "x");
  directory.write("tokenizer.json", "{}");
}

nlohmann::json module(const std::string& type, const std::string& path) {
  return {{"idx", 0}, {"name", "0"}, {"path", path}, {"type", type}};
}

/// As on the hub.
void write_hub_shape(const TemporaryDirectory& directory) {
  write_transformer(directory);
  const std::string prefix = "sentence_transformers.models.";
  directory.write("modules.json", nlohmann::json({module(prefix + "Transformer", ""),
                                                  module(prefix + "Pooling", "1_Pooling"),
                                                  module(prefix + "Normalize", "2_Normalize")})
                                      .dump());
  directory.write("1_Pooling/config.json", R"({"word_embedding_dimension": 12,
      "pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true,
      "pooling_mode_max_tokens": true, "pooling_mode_mean_sqrt_len_tokens": false})");
  directory.write("sentence_bert_config.json", R"({"max_seq_length": 32, "do_lower_case": false})");
  directory.write("tokenizer_config.json", R"({"model_max_length": 16})");
}

/// As sentence-transformers 6 saves it.
void write_saved_shape(const TemporaryDirectory& directory) {
  write_transformer(directory);
  directory.write(
      "modules.json",
      nlohmann::json(
          {module("sentence_transformers.base.modules.transformer.Transformer", ""),
           module("sentence_transformers.sentence_transformer.modules.pooling.Pooling",
                  "1_Pooling"),
           module("sentence_transformers.base.modules.normalize.Normalize", "2_Normalize")})
          .dump());
  directory.write("1_Pooling/config.json",
                  R"({"embedding_dimension": 12, "pooling_mode": "mean", "include_prompt": true})");
  directory.write("2_Normalize/config.json", R"({"module_input_name": "sentence_embedding",
      "module_output_name": "sentence_embedding"})");
  directory.write("sentence_bert_config.json", R"({"transformer_task": "feature-extraction",
      "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
      "module_output_name": "token_embeddings"})");
  directory.write("tokenizer_config.json",
                  R"({"model_max_length": 48, "truncation_side": "left"})");
  directory.write("config_sentence_transformers.json",
                  R"({"default_prompt_name": null, "model_type": "SentenceTransformer"})");
}

std::string refusal(const TemporaryDirectory& directory) {
  try {
    read_model_directory(directory.path());
    return "";
  } catch (const StartupError& error) {
    return error.code() == ExitCode::model ? error.what() : "wrong exit code";
  }
}

}  // namespace

TEST_CASE("the hub's shape is read") {
  const TemporaryDirectory directory;
  write_hub_shape(directory);
  const ModelDirectory model = read_model_directory(directory.path());
  CHECK(model.modules.pooling == std::vector{PoolingMode::max, PoolingMode::mean});
  CHECK(model.modules.normalizes);
  CHECK(model.max_tokens == 32);  // max_seq_length goes before model_max_length
  CHECK(model.truncation_side == TruncationSide::right);
  CHECK(model.config.hidden == 12);
  CHECK(model.config.layers == 2);
  CHECK(model.files.size() == 7);
}

TEST_CASE("the shape that sentence-transformers saves is read") {
  const TemporaryDirectory directory;
  write_saved_shape(directory);
  const ModelDirectory model = read_model_directory(directory.path());
  CHECK(model.modules.pooling == std::vector{PoolingMode::mean});
  CHECK(model.modules.normalizes);
  CHECK(model.max_tokens == 48);
  CHECK(model.truncation_side == TruncationSide::left);
  CHECK(model.files.size() == 9);
}

TEST_CASE(
    "without modules.json it is mean pooling and no Normalize, as sentence-transformers does") {
  const TemporaryDirectory directory;
  write_transformer(directory);
  directory.write("sentence_bert_config.json", R"({"max_seq_length": 32})");
  const ModelDirectory model = read_model_directory(directory.path());
  CHECK(model.modules.pooling == std::vector{PoolingMode::mean});
  CHECK_FALSE(model.modules.normalizes);
  CHECK(model.max_tokens == 64);  // as many as there are positions: the file is not read
}

TEST_CASE("no text may be longer than there are positions") {
  const TemporaryDirectory directory;
  write_hub_shape(directory);
  directory.write("sentence_bert_config.json", R"({"max_seq_length": 4096})");
  CHECK(read_model_directory(directory.path()).max_tokens == 64);
  directory.write("sentence_bert_config.json", "{}");
  directory.write("tokenizer_config.json", R"({"model_max_length": 1e30})");
  CHECK(read_model_directory(directory.path()).max_tokens == 64);
}

TEST_CASE("configurations that are not supported are refused by name") {
  const TemporaryDirectory directory;
  auto config = config_json();
  const auto refused_with = [&](const char* key, const nlohmann::json& value) {
    config[key] = value;
    write_transformer(directory, config);
    return refusal(directory);
  };
  CHECK_THAT(refused_with("model_type", "gpt2"), Contains("model_type 'gpt2' is not supported"));
  config = config_json();
  CHECK_THAT(refused_with("hidden_act", "quick_gelu"), Contains("hidden_act 'quick_gelu'"));
  config = config_json();
  CHECK_THAT(refused_with("position_embedding_type", "relative_key"), Contains("'relative_key'"));
  config = config_json();
  CHECK_THAT(refused_with("is_decoder", true), Contains("is_decoder"));
  config = config_json();
  CHECK_THAT(refused_with("num_attention_heads", 5), Contains("does not divide"));
  config = config_json();
  CHECK_THAT(refused_with("hidden_size", -1), Contains("'hidden_size': expected 1 to"));
  config = config_json();
  CHECK_THAT(refused_with("hidden_size", "12"), Contains("expected an integer, got string"));
  config = config_json();
  CHECK_THAT(refused_with("vocab_size", 18446744073709551615ULL), Contains("'vocab_size'"));
  config = config_json();
  CHECK_THAT(refused_with("model_type", nullptr), Contains("'model_type' is missing"));
  config = config_json();
  CHECK_THAT(refused_with("relative_attention_num_buckets", 64), Contains("buckets 64"));
}

TEST_CASE("modules that are not supported are refused by name") {
  const TemporaryDirectory directory;
  write_hub_shape(directory);
  const std::string prefix = "sentence_transformers.models.";
  const auto refused = [&](const nlohmann::json& modules) {
    directory.write("modules.json", modules.dump());
    return refusal(directory);
  };
  const auto transformer = module(prefix + "Transformer", "");
  const auto pooling = module(prefix + "Pooling", "1_Pooling");
  CHECK_THAT(refused({transformer, pooling, module(prefix + "LSTM", "2_LSTM")}),
             Contains("LSTM' is not supported"));
  CHECK_THAT(refused({transformer, module(prefix + "Dense", "2_Dense"), pooling}),
             Contains("Dense' is not supported at this place"));
  CHECK_THAT(refused({transformer, module("my_code.Pooling", "1_Pooling")}),
             Contains("'my_code.Pooling' is not supported"));
  CHECK_THAT(refused({transformer, module(prefix + "Pooling", "../1_Pooling")}),
             Contains("leads out of the model directory"));
  CHECK_THAT(refused({transformer, module(prefix + "Pooling", "/etc")}), Contains("leads out"));
  CHECK_THAT(refused({pooling, transformer}), Contains("at this place"));
  CHECK_THAT(refused(nlohmann::json::array()), Contains("expected a Transformer"));
  CHECK_THAT(refused(nlohmann::json::array({transformer})),
             Contains("model_type 'SentenceTransformer' is not supported"));
  CHECK_THAT(refused(nlohmann::json::object()), Contains("expected an array"));
  CHECK_THAT(refused(nlohmann::json::array({5})), Contains("expected an object"));
}

TEST_CASE("poolings that are not supported are refused by name") {
  const TemporaryDirectory directory;
  write_hub_shape(directory);
  const auto refused = [&](const std::string& pooling) {
    directory.write("1_Pooling/config.json", pooling);
    return refusal(directory);
  };
  CHECK_THAT(refused(R"({"pooling_mode": "median"})"), Contains("'median' is not supported"));
  CHECK_THAT(refused(R"({"pooling_mode": []})"), Contains("empty"));
  CHECK_THAT(refused(R"({"pooling_mode_new_idea": true})"), Contains("not supported"));
  CHECK_THAT(refused(R"({"embedding_dimension": 768, "pooling_mode": "mean"})"),
             Contains("pooling expects vectors of 768, gets 12"));
  CHECK(refused(R"({"pooling_mode": ["cls", "lasttoken"]})") == "");
}

TEST_CASE("options that would change a vector are refused by name") {
  const TemporaryDirectory directory;
  write_saved_shape(directory);
  SECTION("an option of a later version") {
    directory.write("sentence_bert_config.json", R"({"sparkle": 3})");
    CHECK_THAT(refusal(directory), Contains("'sparkle': 3 is not supported"));
  }
  SECTION("a prompt that is not there") {
    directory.write("config_sentence_transformers.json", R"({"default_prompt_name": "mine"})");
    CHECK_THAT(refusal(directory), Contains("default_prompt_name 'mine' is not among the prompts"));
  }
  SECTION("another kind of model") {
    directory.write("config_sentence_transformers.json", R"({"model_type": "SparseEncoder"})");
    CHECK_THAT(refusal(directory), Contains("model_type 'SparseEncoder'"));
  }
  SECTION("normalising something else") {
    directory.write("2_Normalize/config.json", R"({"module_input_name": "token_embeddings"})");
    CHECK_THAT(refusal(directory), Contains("'token_embeddings' is not supported"));
  }
}

TEST_CASE("weights are safetensors or nothing") {
  const TemporaryDirectory directory;
  write_hub_shape(directory);
  std::filesystem::remove(directory.path() / "model.safetensors");
  CHECK_THAT(refusal(directory), Contains("model.safetensors: no such file"));
  directory.write("pytorch_model.bin", "x");
  CHECK_THAT(refusal(directory), Contains("never read"));
  CHECK_THROWS_WITH(read_model_directory(directory.path() / "none"), Contains("no such model"));
}
