// Activation functions, by the names that transformers and PyTorch give them.
#pragma once

#include <optional>
#include <string_view>

namespace ml_worker {

enum class Activation { identity, gelu, gelu_tanh, relu, sigmoid, silu, tanh };

/// config.json's name ("gelu", "gelu_new" …); none for one that is not supported.
std::optional<Activation> activation_of_transformers(std::string_view name);

/// A module's class, e.g. "torch.nn.modules.activation.Tanh", as built without arguments.
std::optional<Activation> activation_of_torch(std::string_view class_name);

}  // namespace ml_worker
