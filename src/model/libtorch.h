// The border to libtorch: what every call into it needs around it.
#pragma once

#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <stdexcept>
#include <string>

#include "ml_worker/startup_error.h"
#include "model/threads.h"

namespace ml_worker::libtorch {

/// What went wrong, without the pages that libtorch adds for its own developers.
inline std::string first_line(const c10::Error& error) {
  const std::string text = error.what_without_backtrace();
  const std::size_t begin = std::min(text.find_first_not_of('\n'), text.size());
  return text.substr(begin, text.find('\n', begin) - begin);
}

/// Runs `build()` at load. Throws StartupError for libtorch's own errors.
template <typename Function>
auto loading(const Function& build) {
  try {
    const c10::InferenceMode no_gradients;
    return build();
  } catch (const c10::Error& error) {
    throw StartupError(ExitCode::model, "libtorch: " + first_line(error));
  }
}

/// Runs `compute()` on behalf of a forward pass. Throws std::runtime_error for libtorch's own.
template <typename Function>
auto running(const Function& compute) {
  try {
    const ComputeShare share;
    const c10::InferenceMode no_gradients;
    return compute();
  } catch (const c10::Error& error) {
    throw std::runtime_error(first_line(error));
  }
}

}  // namespace ml_worker::libtorch
