#include "service/model_loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "ml_worker/log.h"

namespace ml_worker {
namespace {

/// For so long calls get the error of the last attempt.
constexpr std::chrono::seconds kFailureStands{10};

Error could_not_load(const std::string& name, const char* what) {
  log::error("a model could not be loaded", {{"model", name}, {"what", log::printable(what, 512)}});
  return errors::model_failed(name, what);
}

}  // namespace

ModelLoader::ModelLoader(ModelTable& models, CallThreads& threads, const ServiceOptions& options)
    : models_(models),
      threads_(threads),
      source_(options.source),
      max_bytes_(options.models_max_bytes) {
  for (const std::string& name : options.allowed_models) on_demand_.insert(models_.resolve(name));
  for (const auto& entry : models_.all()) {
    at_start_.insert(models_.resolve(entry.encoder->description().name));
  }
  models_.on_unused([this](ModelTable::Model model) { free_unused(std::move(model)); });
  thread_ = std::thread([this] { serve(); });
}

ModelLoader::~ModelLoader() { stop(); }

void ModelLoader::use(const std::string& name, Then then) {
  if (auto model = models_.find(name)) return then(std::move(model));
  const std::string resolved = models_.resolve(name);
  if (!source_ || on_demand_.count(resolved) == 0) return then(errors::unknown_model(name));
  if (const auto failure = recent_failure(resolved)) return then(*failure);
  enqueue(resolved, std::move(then));
}

void ModelLoader::load(const std::string& name, Done done) {
  if (models_.find(name)) return done(std::nullopt);
  if (!source_ || !may_load(name)) {
    log::warning("a model was not loaded: neither --allow-model nor --model names it",
                 {{"model", log::printable(name)}});
    return done(errors::unknown_model(name));
  }
  enqueue(models_.resolve(name), [done = std::move(done)](const Result<ModelTable::Model>& model) {
    done(model ? std::nullopt : std::optional(model.error()));
  });
}

void ModelLoader::unload(const std::string& name, Done done) {
  const ModelTable::Model found = models_.find(name);
  if (!found) return done(errors::unknown_model(name));
  if (found == models_.default_model()) {
    return done(errors::bad_argument(
        "model", "expected a model that is not the default one, got " + found->description().name));
  }
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return done(errors::draining());
    unloading_[found.get()].push_back(std::move(done));
  }
  // Another call may have removed it by now: then its end answers both.
  models_.remove(*found);
}

bool ModelLoader::may_load(const std::string& name) const {
  const std::string resolved = models_.resolve(name);
  return on_demand_.count(resolved) > 0 || at_start_.count(resolved) > 0;
}

std::vector<std::string> ModelLoader::list() const {
  std::set<std::string> names;
  for (const auto& entry : models_.all()) names.insert(entry.encoder->description().name);
  if (source_) {
    for (const std::string& name : source_->list()) names.insert(name);
  }
  return {names.begin(), names.end()};
}

std::optional<Error> ModelLoader::recent_failure(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const auto failure = failures_.find(name);
  if (failure == failures_.end() || Clock::now() - failure->second.when > kFailureStands) {
    return std::nullopt;
  }
  return failure->second.error;
}

void ModelLoader::enqueue(const std::string& name, Then then) {
  {
    const std::lock_guard lock(mutex_);
    if (!stopping_) {
      auto& waiting = waiting_[name];
      // The job first: if that throws nobody is left to wait for one that never comes.
      if (waiting.empty()) jobs_.push_back([this, name] { load_and_tell(name); });
      waiting.push_back(std::exchange(then, nullptr));
    }
  }
  if (then) return then(errors::draining());
  posted_.notify_one();
}

void ModelLoader::post(Job job) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  posted_.notify_one();
}

void ModelLoader::serve() {
  std::unique_lock lock(mutex_);
  while (true) {
    posted_.wait(lock, [this] { return !jobs_.empty() || stopping_; });
    if (stopping_) return;
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    log::contained("a job of the model loader failed", job);
    job = nullptr;
    lock.lock();
  }
}

void ModelLoader::load_and_tell(const std::string& name) {
  const Result<ModelTable::Model> result = try_to_load(name);
  std::vector<Then> waiting;
  {
    const std::lock_guard lock(mutex_);
    if (!result) failures_.insert_or_assign(name, Failure{result.error(), Clock::now()});
    if (result) failures_.erase(name);
    waiting.swap(waiting_[name]);
    waiting_.erase(name);
  }
  tell(waiting, result);
}

Result<ModelTable::Model> ModelLoader::load_now(const std::string& name) {
  if (auto model = models_.find(name)) return model;
  const std::size_t expected_bytes = source_->weight_bytes(name);
  if (expected_bytes == 0) return errors::unknown_model(name);
  if (const auto error = over_bound(expected_bytes)) return *error;
  LoadedModel loaded = source_->load(name);
  if (const auto error = over_bound(loaded.encoder->description().weight_bytes)) return *error;
  // Not by its name: another call may have removed it by then.
  return models_.add(std::move(loaded));
}

Result<ModelTable::Model> ModelLoader::try_to_load(const std::string& name) {
  try {
    return load_now(name);
  } catch (const std::exception& exception) {
    return could_not_load(name, exception.what());
  } catch (...) {
    return could_not_load(name, "unknown exception");
  }
}

std::optional<Error> ModelLoader::over_bound(std::size_t further_bytes) const {
  const std::size_t bytes = models_.weight_bytes() + further_bytes;
  if (max_bytes_ == 0 || bytes <= max_bytes_) return std::nullopt;
  return errors::too_large("models", bytes, max_bytes_);
}

void ModelLoader::tell(const std::vector<Then>& waiting, const Result<ModelTable::Model>& result) {
  for (const Then& then : waiting) {
    threads_.post(CallThreads::Lane::large, [then, result] { then(result); });
  }
}

void ModelLoader::free_unused(ModelTable::Model model) {
  post([this, model = std::move(model)]() mutable {
    const Encoder* const key = model.get();
    log::info("model unloaded", {{"model", model->description().name}});
    model.reset();
    std::vector<Done> waiting;
    {
      const std::lock_guard lock(mutex_);
      waiting.swap(unloading_[key]);
      unloading_.erase(key);
    }
    for (const Done& done : waiting) {
      threads_.post(CallThreads::Lane::small, [done] { done(std::nullopt); });
    }
  });
}

void ModelLoader::stop() {
  std::map<std::string, std::vector<Then>> loading;
  std::map<const Encoder*, std::vector<Done>> unloading;
  models_.on_unused(nullptr);
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    stopping_ = true;
    loading.swap(waiting_);
    unloading.swap(unloading_);
  }
  posted_.notify_all();
  thread_.join();
  for (const auto& entry : loading) tell(entry.second, errors::draining());
  for (const auto& entry : unloading) {
    for (const Done& done : entry.second) done(errors::draining());
  }
}

}  // namespace ml_worker
