// The loaded models and the names that they answer to.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ml_worker/encoder.h"

namespace ml_worker {

class ModelTable {
 public:
  using Aliases = std::map<std::string, std::string>;

  /// `models`: at least one. `aliases` go before the built-in `default` (the first model), `large`
  /// and `multilingual`.
  ModelTable(std::vector<std::shared_ptr<Encoder>> models, const Aliases& aliases);

  /// By alias, by name, or by name after `sentence-transformers/`; none if it is not loaded.
  std::shared_ptr<Encoder> find(const std::string& name) const;
  const std::vector<std::shared_ptr<Encoder>>& all() const { return models_; }
  const Encoder& default_model() const { return *default_model_; }
  /// Those whose model is loaded, with the model's name.
  Aliases aliases() const;

 private:
  std::shared_ptr<Encoder> find_loaded(std::string_view name) const;

  std::vector<std::shared_ptr<Encoder>> models_;
  Aliases aliases_;
  std::shared_ptr<Encoder> default_model_;
};

}  // namespace ml_worker
