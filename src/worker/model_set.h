// The models under the model roots: those named at start, and those that are loaded later.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "ml_worker/config.h"
#include "ml_worker/service.h"
#include "worker/golden_files.h"

namespace ml_worker {

/// The aliases that always stand, with those of `config` over them.
std::map<std::string, std::string> model_aliases(const Config& config);

class ModelSet : public ModelSource {
 public:
  explicit ModelSet(const Config& config);

  /// Loads `config.models` in their order, each once, with log lines of progress. Throws
  /// StartupError(model), or StartupError(self_check) where one has drifted.
  std::vector<LoadedModel> load_named();

  std::vector<std::string> list() const override;
  std::size_t weight_bytes(const std::string& name) const override;
  LoadedModel load(const std::string& name) override;

  /// Loads without comparing with what is stored.
  std::shared_ptr<Encoder> load_unverified(const std::string& name) const;
  /// The names of `config.models`, each once.
  std::vector<std::string> names() const;
  const GoldenFiles& golden() const { return golden_; }

 private:
  std::filesystem::path directory_of(const std::string& name) const;
  void check_bound(const std::vector<LoadedModel>& models) const;

  const Config config_;
  const std::vector<std::filesystem::path> roots_;
  const GoldenFiles golden_;
};

}  // namespace ml_worker
