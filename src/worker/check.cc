#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <exception>
#include <string>

#include "ml_worker/log.h"
#include "ml_worker/worker.h"
#include "worker/golden_files.h"
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

/// Where each text's vector does not depend on its neighbours there is nothing to allow.
double allowed_batch_difference(const ModelDescription& about) {
  return about.numerics.starts_with("float32") ? 1e-5 : 2e-2;
}

std::string golden_line(const GoldenFiles::Verified& verified) {
  if (!verified.problem.empty()) return "not kept: " + verified.problem;
  if (verified.file.empty()) return "not kept: there is no state folder";
  if (verified.first) return "first verified now, kept in " + verified.file.string();
  return fmt::format("largest difference {:.2g}, allowed {:.2g}, from {}",
                     verified.difference.largest, verified.difference.allowed,
                     verified.file.string());
}

bool check_model(Encoder& encoder, const GoldenFiles& golden) {
  const auto& about = encoder.description();
  const auto verified = golden.verify(encoder);
  const double difference = batch_difference(encoder);
  const bool ok = verified.difference.ok() && difference <= allowed_batch_difference(about);
  fmt::print(
      "{}: {}\n  model_id {}\n  numerics {}\n  {} dimensions, {} tokens at most\n"
      "  golden sentences: {}\n"
      "  largest difference between alone and in a batch: {:.2g}, allowed {:.2g}\n",
      about.name, ok ? "ok" : "FAILED", about.model_id, about.numerics, about.dimensions,
      about.max_tokens, golden_line(verified), difference, allowed_batch_difference(about));
  return ok;
}

/// A device that fails, or gives what can be no vectors, is a result and not a reason to stop.
bool check_named(const ModelSet& models, const std::string& name) {
  const auto encoder = models.load_unverified(name);
  try {
    return check_model(*encoder, models.golden());
  } catch (const std::exception& error) {
    fmt::print("{}: FAILED\n  {}\n", name, error.what());
    return false;
  }
}

}  // namespace

ExitCode check_worker(const Config& config) {
  log::configure(config.log_format, config.log_level);
  const ModelSet models(config);
  bool ok = true;
  for (const std::string& name : models.names()) ok = check_named(models, name) && ok;
  return ok ? ExitCode::ok : ExitCode::self_check;
}

}  // namespace ml_worker
