#include "model/find.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <set>
#include <utility>

#include "ml_worker/model.h"

namespace ml_worker {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kDefaultOrg = "sentence-transformers/";
constexpr std::string_view kCachePrefix = "models--";
constexpr std::size_t kMaxEntries = 10000;  ///< of a model directory, folders below it included

bool is_alphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/// `[A-Za-z0-9][A-Za-z0-9._-]{0,95}`
bool is_name_part(std::string_view part) {
  return !part.empty() && part.size() <= 96 && is_alphanumeric(part[0]) &&
         std::all_of(part.begin(), part.end(),
                     [](char c) { return is_alphanumeric(c) || c == '.' || c == '_' || c == '-'; });
}

std::string without_default_org(std::string_view name) {
  if (name.starts_with(kDefaultOrg)) name.remove_prefix(kDefaultOrg.size());
  return std::string(name);
}

/// "ORG/NAME" of `models--ORG--NAME`; nothing for any other folder.
std::optional<std::string> cached_name(const std::string& folder) {
  if (!folder.starts_with(kCachePrefix)) return std::nullopt;
  const std::string rest = folder.substr(kCachePrefix.size());
  const std::size_t dashes = rest.find("--");
  if (dashes == std::string::npos) return std::nullopt;
  return rest.substr(0, dashes) + "/" + rest.substr(dashes + 2);
}

/// `root` with every symlink resolved; `path` is inside if it begins with all of it.
bool is_inside(const fs::path& root, const fs::path& path) {
  std::error_code error;
  const fs::path real = fs::canonical(path, error);
  if (error) return false;
  const auto [end, rest] = std::mismatch(root.begin(), root.end(), real.begin(), real.end());
  return end == root.end();
}

/// No symlink in or on the way to `directory` leads out of `root`.
bool stays_inside(const fs::path& root, const fs::path& directory) {
  std::error_code error;
  if (!is_inside(root, directory)) return false;
  std::size_t entries = 0;
  fs::recursive_directory_iterator entry(directory, error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    if (++entries > kMaxEntries) return false;
    if (entry->is_symlink(error) && !is_inside(root, entry->path())) return false;
  }
  return !error;
}

std::vector<fs::path> folders_of(const fs::path& directory) {
  std::vector<fs::path> folders;
  std::error_code error;
  fs::directory_iterator entry(directory, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    std::error_code ignored;
    if (entry->is_directory(ignored)) folders.push_back(entry->path());
  }
  return folders;
}

bool looks_like_model(const fs::path& directory) {
  std::error_code error;
  return fs::exists(directory / "modules.json", error) ||
         fs::exists(directory / "config.json", error);
}

/// The snapshot that refs/main names, out of those that are there.
std::optional<fs::path> main_snapshot(const fs::path& cached) {
  std::string revision;
  std::ifstream file(cached / "refs" / "main");
  std::getline(file, revision);
  for (const fs::path& snapshot : folders_of(cached / "snapshots")) {
    if (snapshot.filename() == revision) return snapshot;
  }
  return std::nullopt;
}

/// What a folder of a root is: a model and its name, or nothing.
std::optional<std::pair<std::string, fs::path>> as_model(const fs::path& folder) {
  const auto cached = cached_name(folder.filename().string());
  const auto path = cached ? main_snapshot(folder) : std::optional(folder);
  const std::string name = without_default_org(cached.value_or(folder.filename().string()));
  if (!path || !is_model_name(name) || !looks_like_model(*path)) return std::nullopt;
  return std::pair(name, *path);
}

fs::path find_in_root(const fs::path& root, const std::string& name) {
  std::error_code error;
  const fs::path real_root = fs::canonical(root, error);
  if (error) return {};
  for (const fs::path& folder : folders_of(root)) {
    const auto model = as_model(folder);
    if (model && model->first == name && stays_inside(real_root, model->second)) {
      return model->second;
    }
  }
  return {};
}

}  // namespace

std::string model_name_of(const fs::path& directory) {
  const fs::path path = fs::absolute(directory).lexically_normal();
  const fs::path folder = path.has_filename() ? path : path.parent_path();
  if (folder.parent_path().filename() == "snapshots") {
    const auto name = cached_name(folder.parent_path().parent_path().filename().string());
    if (name) return without_default_org(*name);
  }
  return folder.filename().string();
}

bool is_model_name(std::string_view name) {
  const std::size_t slash = name.find('/');
  if (slash == std::string_view::npos) return is_name_part(name);
  return is_name_part(name.substr(0, slash)) && is_name_part(name.substr(slash + 1));
}

fs::path find_model(const std::vector<fs::path>& roots, std::string_view name) {
  if (!is_model_name(name)) return {};
  const std::string wanted = without_default_org(name);
  for (const fs::path& root : roots) {
    fs::path found = find_in_root(root, wanted);
    if (!found.empty()) return found;
  }
  return {};
}

std::vector<std::string> list_models(const std::vector<fs::path>& roots) {
  std::set<std::string> names;
  for (const fs::path& root : roots) {
    std::error_code error;
    const fs::path real_root = fs::canonical(root, error);
    if (error) continue;
    for (const fs::path& folder : folders_of(root)) {
      const auto model = as_model(folder);
      if (model && stays_inside(real_root, model->second)) names.insert(model->first);
    }
  }
  return {names.begin(), names.end()};
}

}  // namespace ml_worker
