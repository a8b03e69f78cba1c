// A --config file: one JSON object whose keys are the long option names without dashes.
#pragma once

#include <CLI/CLI.hpp>

namespace ml_worker {

/// Turns the file into CLI11's config items. Repeatable options take an array of strings, flags
/// true or false, numbers whole numbers, all others strings. Throws CLI::ConfigError that names an
/// unknown key or a value of another type.
class JsonConfig : public CLI::Config {
 public:
  explicit JsonConfig(const CLI::App& app) : app_(app) {}

  std::string to_config(const CLI::App*, bool, bool, std::string) const override { return {}; }
  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override;

 private:
  const CLI::App& app_;
};

}  // namespace ml_worker
