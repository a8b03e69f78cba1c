#include "config/json_config.h"

#include <nlohmann/json.hpp>

namespace ml_worker {
namespace {

using Json = nlohmann::json;

[[noreturn]] void wrong_type(const std::string& key, const char* expected, const Json& got) {
  throw CLI::ConfigError("configuration key \"" + key + "\": expected " + expected + ", got " +
                         got.type_name());
}

bool is_flag(const CLI::Option& option) { return option.get_items_expected_max() == 0; }
bool is_repeatable(const CLI::Option& option) { return option.get_items_expected_max() > 1; }
/// CLI11 derives the type name from the variable that the option writes to.
bool is_number(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  return type.rfind("UINT", 0) == 0 || type.rfind("INT", 0) == 0;
}

std::vector<std::string> strings_of(const std::string& key, const Json& value) {
  if (!value.is_array()) wrong_type(key, "an array of strings", value);
  std::vector<std::string> result;
  for (const auto& element : value) {
    if (!element.is_string()) wrong_type(key, "an array of strings", element);
    result.push_back(element.get<std::string>());
  }
  return result;
}

std::vector<std::string> inputs_of(const CLI::Option& option, const std::string& key,
                                   const Json& value) {
  if (is_flag(option)) {
    if (!value.is_boolean()) wrong_type(key, "true or false", value);
    return {value.get<bool>() ? "true" : "false"};
  }
  if (is_repeatable(option)) return strings_of(key, value);
  if (is_number(option)) {
    if (!value.is_number_integer()) wrong_type(key, "a whole number", value);
    return {value.dump()};
  }
  if (!value.is_string()) wrong_type(key, "a string", value);
  return {value.get<std::string>()};
}

Json parse_object(std::istream& input) {
  Json file = Json::parse(input, nullptr, /*allow_exceptions=*/false);
  if (file.is_discarded()) throw CLI::ConfigError("the configuration file is not valid JSON");
  if (!file.is_object())
    throw CLI::ConfigError(std::string("the configuration file: expected an object, got ") +
                           file.type_name());
  return file;
}

}  // namespace

std::vector<CLI::ConfigItem> JsonConfig::from_config(std::istream& input) const {
  std::vector<CLI::ConfigItem> found;
  const Json file = parse_object(input);
  for (const auto& [key, value] : file.items()) {
    const CLI::Option* option = app_.get_option_no_throw("--" + key);
    if (option == nullptr || key == "config" || key == "help" || key == "version")
      throw CLI::ConfigError("unknown configuration key \"" + key + "\"");
    CLI::ConfigItem item;
    item.name = key;
    item.inputs = inputs_of(*option, key, value);
    if (!item.inputs.empty()) found.push_back(std::move(item));
  }
  return found;
}

}  // namespace ml_worker
