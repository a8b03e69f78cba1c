// The loaded models and the names that they answer to.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

#include "ml_worker/encoder.h"
#include "ml_worker/service.h"

namespace ml_worker {

/// Thread safe.
class ModelTable {
 public:
  using Model = std::shared_ptr<Encoder>;
  using Aliases = std::map<std::string, std::string>;
  /// Given a removed model when the last holder of what find() gave has let it go.
  using OnUnused = std::function<void(Model)>;

  struct Entry {
    Model encoder;
    std::shared_ptr<GoldenVectors> golden;  ///< the health check's
  };

  /// `models`: at least one. `aliases` go before the built-in `default` (the first model), `large`
  /// and `multilingual`.
  ModelTable(std::vector<LoadedModel> models, const Aliases& aliases);

  /// By alias, by name, or by name after `sentence-transformers/`; none if it is not loaded.
  Model find(const std::string& name) const;
  /// The name that an alias stands for, without `sentence-transformers/`.
  std::string resolve(const std::string& name) const;
  std::vector<Entry> all() const;
  std::size_t weight_bytes() const;
  /// The model that `default` means.
  Model default_model() const;
  /// Those whose model is loaded, with the model's name.
  Aliases aliases() const;

  /// What find() gives for it, until it is removed.
  Model add(LoadedModel model);
  /// Calls that hold it go on.
  void remove(const Encoder& model);
  /// Called from any thread; must be quick.
  void on_unused(OnUnused callback);

 private:
  struct Hook {
    std::mutex mutex;
    OnUnused callback;
  };

  Model find_loaded(std::string_view name) const;  // REQUIRES: mutex_ held
  Model tracked(Model model) const;

  const std::shared_ptr<Hook> hook_ = std::make_shared<Hook>();
  mutable std::shared_mutex mutex_;
  std::vector<Entry> models_;
  Aliases aliases_;
};

}  // namespace ml_worker
