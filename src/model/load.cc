#include <fmt/format.h>

#include <algorithm>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "json/json_file.h"
#include "ml_worker/model.h"
#include "ml_worker/startup_error.h"
#include "model/bert.h"
#include "model/directory.h"
#include "model/find.h"
#include "model/identity.h"
#include "model/packing.h"
#include "model/pooling.h"
#include "model/safetensors.h"

namespace ml_worker {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxSideFileBytes = std::size_t{128} << 20;

const char* name_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::automatic:
      return "auto";
    case Dtype::float32:
      return "float32";
    case Dtype::bfloat16:
      return "bfloat16";
    case Dtype::float16:
      return "float16";
    case Dtype::int8:
      return "int8";
  }
  return "?";
}

void check_options(const ModelOptions& options) {
  if (options.device != "auto" && options.device != "cpu") {
    throw StartupError(ExitCode::usage, "device '" + options.device +
                                            "' is not supported yet: models run on the CPU "
                                            "(auto, cpu)");
  }
  if (options.dtype != Dtype::automatic && options.dtype != Dtype::float32) {
    throw StartupError(ExitCode::usage, std::string("dtype '") + name_of(options.dtype) +
                                            "' is not supported yet: models run in float32 "
                                            "(auto, float32)");
  }
  if (options.compute_threads < 0) {
    throw StartupError(ExitCode::usage, fmt::format("compute threads: expected 0 or more, got {}",
                                                    options.compute_threads));
  }
}

/// The weights are mapped already; the other files are small.
std::string identity_of(const fs::path& directory, const ModelDirectory& contents,
                        const Safetensors& weights) {
  std::vector<std::string> bytes(contents.files.size());
  std::vector<NamedBytes> files;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const fs::path& file = contents.files[i];
    if (file.filename() == "model.safetensors") {
      files.emplace_back(file.string(), weights.file()->bytes());
    } else {
      bytes[i] = read_file(directory / file, kMaxSideFileBytes);
      files.emplace_back(file.string(), std::as_bytes(std::span(bytes[i])));
    }
  }
  return model_identity(std::move(files));
}

class BertEncoder : public Encoder {
 public:
  BertEncoder(ModelDescription description, std::unique_ptr<Tokenizer> tokenizer,
              std::vector<PoolingMode> pooling, std::int64_t vocabulary, std::unique_ptr<Bert> bert)
      : description_(std::move(description)),
        tokenizer_(std::move(tokenizer)),
        pooling_(std::move(pooling)),
        vocabulary_(static_cast<std::int32_t>(vocabulary)),
        hidden_(description_.dimensions / pooling_.size()),
        bert_(std::move(bert)) {}

  const ModelDescription& description() const override { return description_; }
  const Tokenizer& tokenizer() const override { return *tokenizer_; }

  void forward(std::span<const EncoderInput> inputs, EncoderOutput output,
               std::span<float> rows) override {
    check(inputs, output, rows);
    if (inputs.empty()) return;
    try {
      compute(inputs, output, rows);
    } catch (const std::exception& error) {
      throw EncoderError(error.what());
    }
  }

 private:
  void check(std::span<const EncoderInput> inputs, EncoderOutput output,
             std::span<const float> rows) const {
    std::size_t tokens = 0;
    for (const EncoderInput& input : inputs) {
      check_ids(input.ids);
      tokens += input.ids.size();
    }
    const std::size_t expected = output == EncoderOutput::vectors
                                     ? inputs.size() * description_.dimensions
                                     : tokens * hidden_;
    if (rows.size() == expected) return;
    throw EncoderError(fmt::format("room for {} floats, expected {}", rows.size(), expected));
  }

  void check_ids(std::span<const std::int32_t> ids) const {
    if (ids.empty() || ids.size() > description_.max_tokens) {
      throw EncoderError(fmt::format("a text of {} tokens, expected 1 to {}", ids.size(),
                                     description_.max_tokens));
    }
    for (const std::int32_t id : ids) {
      if (id < 0 || id >= vocabulary_) throw EncoderError("a token id outside the vocabulary");
    }
  }

  void compute(std::span<const EncoderInput> inputs, EncoderOutput output, std::span<float> rows) {
    std::vector<std::size_t> lengths(inputs.size());
    std::transform(inputs.begin(), inputs.end(), lengths.begin(),
                   [](const EncoderInput& input) { return input.ids.size(); });
    const Packing packing = pack(lengths);
    std::vector<std::int32_t> ids;
    ids.reserve(packing.tokens);
    for (const std::size_t i : packing.order) {
      ids.insert(ids.end(), inputs[i].ids.begin(), inputs[i].ids.end());
    }
    const std::span<const float> states = bert_->forward(ids, packing);
    std::size_t token = 0;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const auto own = states.subspan(packing.first_tokens[i] * hidden_, lengths[i] * hidden_);
      if (output == EncoderOutput::tokens) {
        std::copy(own.begin(), own.end(), rows.subspan(token * hidden_).begin());
        token += lengths[i];
      } else {
        pool(pooling_, own, hidden_,
             rows.subspan(i * description_.dimensions, description_.dimensions));
      }
    }
  }

  ModelDescription description_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::vector<PoolingMode> pooling_;
  std::int32_t vocabulary_;
  std::size_t hidden_;
  std::unique_ptr<Bert> bert_;
};

ModelDescription describe(const fs::path& directory, const ModelDirectory& contents) {
  ModelDescription description;
  description.name = model_name_of(directory);
  description.dimensions =
      static_cast<std::size_t>(contents.config.hidden) * contents.pooling.size();
  description.token_dimensions = static_cast<std::size_t>(contents.config.hidden);
  description.max_tokens = contents.max_tokens;
  description.normalizes = contents.normalizes;
  description.truncation_side = contents.truncation_side;
  description.numerics = "float32/onednn/cpu";
  return description;
}

std::unique_ptr<Tokenizer> load_fitting_tokenizer(const ModelDirectory& contents) {
  auto tokenizer = load_tokenizer(contents.transformer);
  if (tokenizer->vocabulary_size() > static_cast<std::size_t>(contents.config.vocabulary)) {
    throw StartupError(
        ExitCode::model,
        fmt::format("{}: the tokenizer has {} tokens, the model {}", contents.transformer.string(),
                    tokenizer->vocabulary_size(), contents.config.vocabulary));
  }
  return tokenizer;
}

std::unique_ptr<Encoder> load_checked(const fs::path& directory, const ModelOptions& options) {
  ModelDirectory contents = read_model_directory(directory);
  const Safetensors weights(contents.transformer / "model.safetensors");
  // The digest reads every byte of the weights: beside the rest it costs nothing.
  auto identity =
      std::async(std::launch::async, [&] { return identity_of(directory, contents, weights); });
  auto tokenizer = load_fitting_tokenizer(contents);
  auto bert = std::make_unique<Bert>(contents.config, weights, options.compute_threads);
  ModelDescription description = describe(directory, contents);
  description.weight_bytes = bert->weight_bytes();
  description.model_id = identity.get();
  return std::make_unique<BertEncoder>(std::move(description), std::move(tokenizer),
                                       std::move(contents.pooling), contents.config.vocabulary,
                                       std::move(bert));
}

}  // namespace

std::unique_ptr<Encoder> load_model(const fs::path& directory, const ModelOptions& options) {
  check_options(options);
  try {
    return load_checked(directory, options);
  } catch (const fs::filesystem_error& error) {
    throw StartupError(ExitCode::model, error.what());
  }
}

}  // namespace ml_worker
