#include "service/models.h"

namespace ml_worker {
namespace {

constexpr std::string_view kDefaultOrganisation = "sentence-transformers/";

std::string_view without_default_organisation(std::string_view name) {
  if (name.starts_with(kDefaultOrganisation)) name.remove_prefix(kDefaultOrganisation.size());
  return name;
}

}  // namespace

ModelTable::ModelTable(std::vector<std::shared_ptr<Encoder>> models, const Aliases& aliases)
    : models_(std::move(models)), aliases_(aliases) {
  aliases_.emplace("default", models_.front()->description().name);
  aliases_.emplace("large", "all-mpnet-base-v2");
  aliases_.emplace("multilingual", "paraphrase-multilingual-MiniLM-L12-v2");
  default_model_ = find("default");
  if (!default_model_) default_model_ = models_.front();
}

std::shared_ptr<Encoder> ModelTable::find(const std::string& name) const {
  const auto alias = aliases_.find(name);
  return find_loaded(alias == aliases_.end() ? name : alias->second);
}

std::shared_ptr<Encoder> ModelTable::find_loaded(std::string_view name) const {
  for (const auto& model : models_) {
    const std::string_view loaded = model->description().name;
    if (without_default_organisation(loaded) == without_default_organisation(name)) return model;
  }
  return nullptr;
}

ModelTable::Aliases ModelTable::aliases() const {
  Aliases loaded;
  for (const auto& [alias, name] : aliases_) {
    if (const auto model = find_loaded(name)) loaded.emplace(alias, model->description().name);
  }
  return loaded;
}

}  // namespace ml_worker
