#include "worker/model_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <utility>

#include "ml_worker/log.h"
#include "ml_worker/model.h"
#include "ml_worker/startup_error.h"

namespace ml_worker {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::seconds kProgressEvery{2};

fs::path hub_cache() {
  if (const char* hub = std::getenv("HF_HUB_CACHE")) return hub;
  if (const char* home = std::getenv("HF_HOME")) return fs::path(home) / "hub";
  if (const char* home = std::getenv("HOME")) return fs::path(home) / ".cache/huggingface/hub";
  return {};
}

/// A checkout's models/ beside build/, an installed share/, the working folder, the hub cache.
std::vector<fs::path> default_roots() {
  std::error_code ignored;
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  std::vector<fs::path> roots = {program.parent_path() / "models",
                                 program.parent_path() / "share/ml_worker/models", "models",
                                 hub_cache()};
  std::erase_if(roots, [](const fs::path& root) {
    std::error_code error;
    return root.empty() || !fs::is_directory(root, error);
  });
  return roots;
}

std::string joined(const std::vector<fs::path>& roots) {
  std::string text;
  for (const auto& root : roots) text += (text.empty() ? "" : ", ") + root.string();
  return text.empty() ? "none" : text;
}

/// Where a service manager or the user's own settings say that state is kept.
fs::path default_state_folder() {
  if (const char* given = std::getenv("STATE_DIRECTORY")) return given;
  if (const char* given = std::getenv("XDG_STATE_HOME")) return fs::path(given) / "ml_worker";
  if (const char* home = std::getenv("HOME")) return fs::path(home) / ".local/state/ml_worker";
  return {};
}

fs::path golden_folder(const Config& config) {
  const fs::path state = config.state_folder.empty() ? default_state_folder() : config.state_folder;
  return state.empty() ? fs::path() : state / "golden";
}

void log_loaded(const ModelDescription& model, std::chrono::steady_clock::duration took) {
  log::info("model loaded",
            {{"model", model.name},
             {"model_id", model.model_id},
             {"numerics", model.numerics},
             {"dimensions", std::to_string(model.dimensions)},
             {"seconds", fmt::format("{:.2f}", std::chrono::duration<double>(took).count())}});
}

/// A large model on a cold disk takes minutes: that it moves is said every two seconds.
LoadProgress logged_progress(const std::string& name) {
  return [name, next = std::chrono::steady_clock::now() + kProgressEvery](std::size_t read,
                                                                          std::size_t of) mutable {
    const auto now = std::chrono::steady_clock::now();
    if (now < next || of == 0) return;
    next = now + kProgressEvery;
    log::info("still loading", {{"model", name},
                                {"percent", std::to_string(read * 100 / of)},
                                {"bytes", std::to_string(of)}});
  };
}

void log_verified(const ModelDescription& model, const GoldenFiles::Verified& verified) {
  if (!verified.problem.empty()) {
    log::warning("golden vectors are not kept", {{"what", log::printable(verified.problem, 512)}});
  } else if (verified.first) {
    log::info("model verified for the first time",
              {{"model", model.name}, {"golden", verified.file.string()}});
  }
}

}  // namespace

std::map<std::string, std::string> model_aliases(const Config& config) {
  auto aliases = config.aliases;
  aliases.emplace("default", config.models.front());
  aliases.emplace("large", "all-mpnet-base-v2");
  aliases.emplace("multilingual", "paraphrase-multilingual-MiniLM-L12-v2");
  return aliases;
}

ModelSet::ModelSet(const Config& config)
    : config_(config),
      roots_(config.model_roots.empty() ? default_roots() : config.model_roots),
      golden_(golden_folder(config)) {}

std::vector<std::string> ModelSet::names() const {
  const auto aliases = model_aliases(config_);
  std::vector<std::string> names;
  for (const auto& given : config_.models) {
    const auto alias = aliases.find(given);
    const std::string& name = alias == aliases.end() ? given : alias->second;
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  return names;
}

std::vector<LoadedModel> ModelSet::load_named() {
  std::vector<LoadedModel> models;
  for (const std::string& name : names()) models.push_back(load(name));
  check_bound(models);
  return models;
}

void ModelSet::check_bound(const std::vector<LoadedModel>& models) const {
  std::size_t bytes = 0;
  for (const LoadedModel& model : models) bytes += model.encoder->description().weight_bytes;
  if (config_.models_max_bytes == 0 || bytes <= config_.models_max_bytes) return;
  throw StartupError(
      ExitCode::model,
      fmt::format("the models named at start take {} bytes, --models-max-bytes is {}", bytes,
                  config_.models_max_bytes));
}

fs::path ModelSet::directory_of(const std::string& name) const {
  if (!is_model_name(name)) {
    throw StartupError(ExitCode::model, "model name \"" + log::printable(name) +
                                            "\": expected [ORG/]NAME of letters, digits, . _ -");
  }
  fs::path directory = find_model(roots_, name);
  if (directory.empty()) {
    throw StartupError(ExitCode::model, "no model \"" + name + "\" under the model roots (" +
                                            joined(roots_) + "); give --models-root DIR");
  }
  return directory;
}

std::shared_ptr<Encoder> ModelSet::load_unverified(const std::string& name) const {
  const fs::path directory = directory_of(name);
  log::info("loading model", {{"model", name}, {"directory", directory.string()}});
  const auto start = std::chrono::steady_clock::now();
  ModelOptions options = config_.model;
  options.progress = logged_progress(name);
  std::shared_ptr<Encoder> encoder = load_model(directory, options);
  log_loaded(encoder->description(), std::chrono::steady_clock::now() - start);
  return encoder;
}

LoadedModel ModelSet::load(const std::string& name) {
  std::shared_ptr<Encoder> encoder = load_unverified(name);
  const ModelDescription& model = encoder->description();
  GoldenFiles::Verified verified;
  try {
    verified = golden_.verify(*encoder);
  } catch (const std::exception& error) {
    throw StartupError(ExitCode::self_check, model.name + ": " + error.what());
  }
  log_verified(model, verified);
  if (!verified.difference.ok()) {
    throw StartupError(ExitCode::self_check, drift_message(model, verified));
  }
  return {std::move(encoder), std::move(verified.vectors)};
}

std::vector<std::string> ModelSet::list() const { return list_models(roots_); }

std::size_t ModelSet::weight_bytes(const std::string& name) const {
  const fs::path directory = find_model(roots_, name);
  if (directory.empty()) return 0;
  std::uintmax_t bytes = 0;
  std::error_code error;
  fs::recursive_directory_iterator entry(directory, error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    std::error_code ignored;
    if (entry->path().extension() == ".safetensors") bytes += entry->file_size(ignored);
  }
  // Even one without weights is there: loading it says what is wrong.
  return std::max<std::size_t>(bytes, 1);
}

}  // namespace ml_worker
