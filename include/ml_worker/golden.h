// Golden sentences: what a model gave when it was first verified is what it has to give later.
//
// Whoever loads a model computes them and compares them with what is stored; the service compares
// again, on the device as it is then, in its health checks.
#pragma once

#include <string>
#include <vector>

#include "ml_worker/encoder.h"

namespace ml_worker {

/// One vector per golden sentence, as forward() gives it.
using GoldenVectors = std::vector<std::vector<float>>;

const std::vector<std::string>& golden_sentences();

/// Each sentence in a forward pass of its own. Throws std::exception where the model cannot be
/// right: the device fails, numbers are not finite, a vector is all zeros.
GoldenVectors compute_golden(Encoder& encoder);

/// How far vectors are from those expected: the largest difference between elements of vectors
/// divided by their length (of scores: as they are), and what is allowed.
struct GoldenDifference {
  double largest = 0.0;
  double allowed = 0.0;
  /// False where any number is not finite, and where the shapes differ.
  bool ok() const { return largest <= allowed; }
};
GoldenDifference compare_golden(const ModelDescription& model, const GoldenVectors& got,
                                const GoldenVectors& expected);

}  // namespace ml_worker
