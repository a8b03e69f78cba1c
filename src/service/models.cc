#include "service/models.h"

#include <algorithm>
#include <utility>

namespace ml_worker {
namespace {

constexpr std::string_view kDefaultOrganisation = "sentence-transformers/";

std::string_view without_default_organisation(std::string_view name) {
  if (name.starts_with(kDefaultOrganisation)) name.remove_prefix(kDefaultOrganisation.size());
  return name;
}

bool has_name(const ModelTable::Entry& entry, std::string_view name) {
  const std::string_view loaded = entry.encoder->description().name;
  return without_default_organisation(loaded) == without_default_organisation(name);
}

}  // namespace

ModelTable::ModelTable(std::vector<LoadedModel> models, const Aliases& aliases)
    : aliases_(aliases) {
  aliases_.emplace("default", models.front().encoder->description().name);
  aliases_.emplace("large", "all-mpnet-base-v2");
  aliases_.emplace("multilingual", "paraphrase-multilingual-MiniLM-L12-v2");
  for (LoadedModel& model : models) add(std::move(model));
}

std::string ModelTable::resolve(const std::string& name) const {
  const auto alias = aliases_.find(name);
  return std::string(without_default_organisation(alias == aliases_.end() ? name : alias->second));
}

ModelTable::Model ModelTable::find(const std::string& name) const {
  const std::string resolved = resolve(name);
  const std::shared_lock lock(mutex_);
  return find_loaded(resolved);
}

ModelTable::Model ModelTable::find_loaded(std::string_view name) const {
  const auto found = std::find_if(models_.begin(), models_.end(),
                                  [name](const Entry& entry) { return has_name(entry, name); });
  return found == models_.end() ? nullptr : found->encoder;
}

std::vector<ModelTable::Entry> ModelTable::all() const {
  const std::shared_lock lock(mutex_);
  return models_;
}

std::size_t ModelTable::weight_bytes() const {
  std::size_t bytes = 0;
  for (const Entry& entry : all()) bytes += entry.encoder->description().weight_bytes;
  return bytes;
}

ModelTable::Model ModelTable::default_model() const {
  const Model named = find("default");
  return named ? named : all().front().encoder;
}

ModelTable::Aliases ModelTable::aliases() const {
  const std::shared_lock lock(mutex_);
  Aliases loaded;
  for (const auto& [alias, name] : aliases_) {
    if (const auto model = find_loaded(name)) loaded.emplace(alias, model->description().name);
  }
  return loaded;
}

ModelTable::Model ModelTable::add(LoadedModel model) {
  Entry entry{tracked(std::move(model.encoder)),
              std::make_shared<GoldenVectors>(std::move(model.golden))};
  Model added = entry.encoder;
  const std::lock_guard lock(mutex_);
  models_.push_back(std::move(entry));
  return added;
}

void ModelTable::remove(const Encoder& model) {
  std::vector<Entry> removed;  // destroyed after the lock is released
  const std::lock_guard lock(mutex_);
  const auto kept =
      std::stable_partition(models_.begin(), models_.end(),
                            [&model](const Entry& entry) { return entry.encoder.get() != &model; });
  removed.assign(kept, models_.end());
  models_.erase(kept, models_.end());
}

void ModelTable::on_unused(OnUnused callback) {
  const std::lock_guard lock(hook_->mutex);
  hook_->callback = std::move(callback);
}

// Whoever lets go last may be the device's thread: the model's memory is given back elsewhere.
ModelTable::Model ModelTable::tracked(Model model) const {
  Encoder* const encoder = model.get();
  auto at_end = [owner = std::move(model), hook = hook_](Encoder*) mutable {
    const std::lock_guard lock(hook->mutex);
    if (hook->callback) hook->callback(std::move(owner));
  };
  return {encoder, std::move(at_end)};
}

}  // namespace ml_worker
