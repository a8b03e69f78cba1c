#include "ml_worker/golden.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <stdexcept>
#include <string_view>

namespace ml_worker {
namespace {

/// float32 is computed the same way each time; the other types as the device has it that day.
constexpr double kAllowedFloat32 = 1e-5;
constexpr double kAllowedOther = 2e-2;

double length_of(std::span<const float> vector) {
  double squares = 0.0;
  for (const float x : vector) squares += double{x} * double{x};
  return std::sqrt(squares);
}

std::vector<float> compute(Encoder& encoder, std::string_view sentence) {
  const ModelDescription& model = encoder.description();
  const Tokens tokens =
      encoder.tokenizer().encode(sentence, model.max_tokens, model.truncation_side);
  const std::vector<EncoderInput> inputs{EncoderInput(tokens.ids)};
  std::vector<float> vector(model.dimensions);
  encoder.replica(0).forward(inputs, EncoderOutput::vectors, vector);
  return vector;
}

void require_plausible(const ModelDescription& model, std::span<const float> vector) {
  const bool finite =
      std::all_of(vector.begin(), vector.end(), [](float x) { return std::isfinite(x); });
  if (!finite) throw std::runtime_error("not finite");
  const bool is_embedding = model.task == ModelTask::embedding;
  if (is_embedding && length_of(vector) == 0.0) throw std::runtime_error("all zeros");
}

/// What an element is divided by.
double scale_of(const ModelDescription& model, std::span<const float> vector) {
  return model.task == ModelTask::embedding ? length_of(vector) : 1.0;
}

/// Infinite where they cannot be compared.
double largest_difference(const ModelDescription& model, std::span<const float> got,
                          std::span<const float> expected) {
  double largest = 0.0;
  if (got.size() != expected.size()) return std::numeric_limits<double>::infinity();
  const double got_scale = scale_of(model, got);
  const double expected_scale = scale_of(model, expected);
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double difference =
        std::abs(double{got[i]} / got_scale - double{expected[i]} / expected_scale);
    // A NaN compares false with everything: it must not pass for "no difference".
    if (!(difference <= largest)) largest = difference;
  }
  return std::isfinite(largest) ? largest : std::numeric_limits<double>::infinity();
}

}  // namespace

const std::vector<std::string>& golden_sentences() {
  static const std::vector<std::string> sentences = {
      "the quick brown fox jumps over the lazy dog",
      "Zwei Knaben rannten über die Brücke, bevor der Regen kam.",
      "データベースの索引は検索を速くする。",
      "A much longer sentence goes through the same layers with other lengths: an index of vectors "
      "answers which of many texts are close in meaning to a question, and it can only be trusted "
      "while the same text has the same vector today and tomorrow, on this device and the next."};
  return sentences;
}

GoldenVectors compute_golden(Encoder& encoder) {
  GoldenVectors vectors;
  for (const std::string& sentence : golden_sentences()) {
    vectors.push_back(compute(encoder, sentence));
    require_plausible(encoder.description(), vectors.back());
  }
  return vectors;
}

GoldenDifference compare_golden(const ModelDescription& model, const GoldenVectors& got,
                                const GoldenVectors& expected) {
  GoldenDifference difference;
  difference.allowed = model.numerics.starts_with("float32") ? kAllowedFloat32 : kAllowedOther;
  difference.largest =
      got.size() == expected.size() ? 0.0 : std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < std::min(got.size(), expected.size()); ++i) {
    difference.largest =
        std::max(difference.largest, largest_difference(model, got[i], expected[i]));
  }
  return difference;
}

}  // namespace ml_worker
