// What get_load() answers.
#pragma once

#include "service/core.h"

namespace ml_worker {

/// Seconds that a new text would wait, or the error that a new text would get.
Result<Value> load_value(const Core& core);

/// When a call that is refused at the door should come again.
std::chrono::milliseconds retry_after(const Core& core);

}  // namespace ml_worker
