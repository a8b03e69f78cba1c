// The weights of one folder: model.safetensors, or the files that model.safetensors.index.json
// names.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "model/safetensors.h"

namespace ml_worker {

class Weights {
 public:
  /// Throws StartupError(ExitCode::model).
  explicit Weights(const std::filesystem::path& folder);

  bool has(const std::string& name) const { return places_.contains(name); }
  /// As Safetensors::floats.
  std::shared_ptr<const float> floats(const std::string& name,
                                      std::span<const std::int64_t> shape) const;
  /// Files of weights by name, without their index.
  const std::vector<std::pair<std::string, std::shared_ptr<Safetensors>>>& files() const {
    return files_;
  }

 private:
  void read_index(const std::filesystem::path& folder);

  std::string where_;
  std::vector<std::pair<std::string, std::shared_ptr<Safetensors>>> files_;
  std::map<std::string, std::size_t> places_;  ///< tensor → index of its file
};

/// Names of the files that make up the weights of `folder`, their index included. Throws as above
/// when there are none.
std::vector<std::string> weight_files(const std::filesystem::path& folder);

}  // namespace ml_worker
