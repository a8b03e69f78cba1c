#include "worker/model_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "ml_worker/log.h"
#include "ml_worker/model.h"
#include "ml_worker/startup_error.h"

namespace ml_worker {
namespace {

namespace fs = std::filesystem;

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

std::shared_ptr<Encoder> load_one(const Config& config, const std::vector<fs::path>& roots,
                                  const std::string& name) {
  if (!is_model_name(name))
    throw StartupError(ExitCode::model, "model name \"" + log::printable(name) +
                                            "\": expected [ORG/]NAME of letters, digits, . _ -");
  const fs::path directory = find_model(roots, name);
  if (directory.empty())
    throw StartupError(ExitCode::model, "no model \"" + name + "\" under the model roots (" +
                                            joined(roots) + "); give --models-root DIR");
  log::info("loading model", {{"model", name}, {"directory", directory.string()}});
  const auto start = std::chrono::steady_clock::now();
  std::shared_ptr<Encoder> encoder = load_model(directory, config.model);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  const auto& about = encoder->description();
  log::info("model loaded", {{"model", name},
                             {"model_id", about.model_id},
                             {"numerics", about.numerics},
                             {"dimensions", std::to_string(about.dimensions)},
                             {"seconds", fmt::format("{:.2f}", took.count())}});
  return encoder;
}

}  // namespace

std::map<std::string, std::string> model_aliases(const Config& config) {
  auto aliases = config.aliases;
  aliases.emplace("default", config.models.front());
  aliases.emplace("large", "all-mpnet-base-v2");
  aliases.emplace("multilingual", "paraphrase-multilingual-MiniLM-L12-v2");
  return aliases;
}

std::vector<std::shared_ptr<Encoder>> load_models(const Config& config) {
  const auto roots = config.model_roots.empty() ? default_roots() : config.model_roots;
  const auto aliases = model_aliases(config);
  std::vector<std::string> loaded;
  std::vector<std::shared_ptr<Encoder>> models;
  for (const auto& given : config.models) {
    const auto alias = aliases.find(given);
    const std::string& name = alias == aliases.end() ? given : alias->second;
    if (std::find(loaded.begin(), loaded.end(), name) != loaded.end()) continue;
    models.push_back(load_one(config, roots, name));
    loaded.push_back(name);
  }
  return models;
}

}  // namespace ml_worker
