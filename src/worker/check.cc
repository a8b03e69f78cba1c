#include <fmt/format.h>

#include <cmath>
#include <cstdio>

#include "ml_worker/log.h"
#include "ml_worker/worker.h"
#include "worker/model_set.h"

namespace ml_worker {
namespace {

using Vectors = std::vector<float>;
using Ids = std::vector<std::int32_t>;

/// Of different lengths, so that a batch of them mixes everything that a batch can mix.
std::vector<std::string> sample_texts() {
  std::vector<std::string> texts = {"", "hello world", "Zwei Knaben rannten über die Brücke."};
  for (int words = 8; words <= 512; words *= 4) {
    std::string text;
    for (int i = 0; i < words; ++i) text += fmt::format("word {} ", i);
    texts.push_back(text);
  }
  return texts;
}

std::vector<Ids> tokenize(const Encoder& encoder) {
  const auto& about = encoder.description();
  std::vector<Ids> ids;
  for (const auto& text : sample_texts())
    ids.push_back(encoder.tokenizer().encode(text, about.max_tokens, about.truncation_side).ids);
  return ids;
}

Vectors forward(Encoder& encoder, std::span<const Ids> texts) {
  const std::vector<EncoderInput> inputs(texts.begin(), texts.end());
  Vectors vectors(texts.size() * encoder.description().dimensions);
  encoder.forward(inputs, EncoderOutput::vectors, vectors);
  return vectors;
}

/// The largest difference between a text's vector alone and among others.
double batch_difference(Encoder& encoder) {
  const auto texts = tokenize(encoder);
  const auto together = forward(encoder, texts);
  const auto dimensions = encoder.description().dimensions;
  double largest = 0.0;
  for (std::size_t row = 0; row < texts.size(); ++row) {
    const auto alone = forward(encoder, std::span(texts).subspan(row, 1));
    for (std::size_t i = 0; i < dimensions; ++i) {
      const double difference = std::abs(double{alone[i]} - double{together[row * dimensions + i]});
      // A NaN compares false with everything: it must not pass for "no difference".
      if (!(difference <= largest)) largest = difference;
    }
  }
  return largest;
}

bool check_model(Encoder& encoder) {
  const auto& about = encoder.description();
  const double difference = batch_difference(encoder);
  const bool ok = difference <= 1e-5;
  fmt::print(
      "{}: {}\n  model_id {}\n  numerics {}\n  {} dimensions, {} tokens at most\n"
      "  largest difference between alone and in a batch: {}\n",
      about.name, ok ? "ok" : "FAILED", about.model_id, about.numerics, about.dimensions,
      about.max_tokens, difference);
  return ok;
}

}  // namespace

ExitCode check_worker(const Config& config) {
  log::configure(config.log_format, config.log_level);
  bool ok = true;
  for (const auto& encoder : load_models(config)) ok = check_model(*encoder) && ok;
  return ok ? ExitCode::ok : ExitCode::self_check;
}

}  // namespace ml_worker
