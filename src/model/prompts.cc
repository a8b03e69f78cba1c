#include "model/prompts.h"

namespace ml_worker {

Prompts read_prompts(const JsonObject& config) {
  Prompts prompts;
  if (config.has("prompts")) {
    const JsonObject named = config.object("prompts");
    for (const auto& [name, text] : named.json().items()) {
      prompts.by_name.emplace(name, named.text(name, ""));
    }
  }
  const std::string standard = config.text("default_prompt_name", "");
  // sentence-transformers has these two, empty, in any model.
  if (standard.empty() || standard == "query" || standard == "document") {
    const auto found = prompts.by_name.find(standard);
    if (found != prompts.by_name.end()) prompts.standard = found->second;
    return prompts;
  }
  if (!prompts.by_name.contains(standard)) {
    config.fail("default_prompt_name '" + standard + "' is not among the prompts");
  }
  prompts.standard = prompts.by_name.at(standard);
  return prompts;
}

}  // namespace ml_worker
