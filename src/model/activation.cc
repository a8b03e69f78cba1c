#include "model/activation.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

namespace ml_worker {
namespace {

using Entry = std::pair<std::string_view, Activation>;

std::optional<Activation> look_up(std::span<const Entry> table, std::string_view name) {
  const auto found = std::find_if(table.begin(), table.end(),
                                  [name](const Entry& entry) { return entry.first == name; });
  if (found == table.end()) return std::nullopt;
  return found->second;
}

}  // namespace

std::optional<Activation> activation_of_transformers(std::string_view name) {
  static constexpr std::array<Entry, 9> kNames = {{{"gelu", Activation::gelu},
                                                   {"gelu_new", Activation::gelu_tanh},
                                                   {"gelu_fast", Activation::gelu_tanh},
                                                   {"gelu_pytorch_tanh", Activation::gelu_tanh},
                                                   {"relu", Activation::relu},
                                                   {"silu", Activation::silu},
                                                   {"swish", Activation::silu},
                                                   {"sigmoid", Activation::sigmoid},
                                                   {"tanh", Activation::tanh}}};
  return look_up(kNames, name);
}

std::optional<Activation> activation_of_torch(std::string_view class_name) {
  static constexpr std::array<Entry, 6> kNames = {{{"Identity", Activation::identity},
                                                   {"GELU", Activation::gelu},
                                                   {"ReLU", Activation::relu},
                                                   {"SiLU", Activation::silu},
                                                   {"Sigmoid", Activation::sigmoid},
                                                   {"Tanh", Activation::tanh}}};
  if (!class_name.starts_with("torch.nn.")) return std::nullopt;
  return look_up(kNames, class_name.substr(class_name.rfind('.') + 1));
}

}  // namespace ml_worker
