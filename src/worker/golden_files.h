// Golden vectors on disk: what each model gave when it was first verified on this machine.
//
// A file per model_id and numerics, so that other weights, another dtype or another device are
// verified anew. Text: a line of the format's name, then a line per sentence of hexadecimal floats,
// which read back to the same bits.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "ml_worker/golden.h"

namespace ml_worker {

class GoldenFiles {
 public:
  /// `folder`: made where it is missing; empty: nothing is kept.
  explicit GoldenFiles(std::filesystem::path folder) : folder_(std::move(folder)) {}

  struct Verified {
    GoldenVectors vectors;  ///< what the model gives now
    GoldenDifference difference;
    std::filesystem::path file;  ///< empty: nothing is kept
    bool first = false;          ///< nothing was stored before
    std::string problem;         ///< why nothing could be stored or read; empty: none
  };

  /// Computes, compares with what is stored, or stores it where nothing is. Throws std::exception
  /// where the model cannot be right in itself.
  Verified verify(Encoder& encoder) const;

 private:
  std::filesystem::path file_of(const ModelDescription& model) const;

  std::filesystem::path folder_;
};

/// What is wrong with a model that differs from its golden vectors, and what to do about it.
std::string drift_message(const ModelDescription& model, const GoldenFiles::Verified& verified);

}  // namespace ml_worker
