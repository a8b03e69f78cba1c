// What a call's work throws becomes the call's answer.
#pragma once

#include <exception>
#include <string>

#include "ml_worker/log.h"
#include "service/call.h"

namespace ml_worker {

inline void fail_internally(Call& call, const std::string& what) {
  log::error("a call failed inside the worker",
             {{"what", log::printable(what)}, {"trace", call.trace()}});
  call.fail(errors::model_failed("ml_worker", "internal error: " + what));
}

template <typename Work>
void guarded(Call& call, Work work) {
  try {
    work();
  } catch (const std::exception& exception) {
    fail_internally(call, exception.what());
  } catch (...) {
    fail_internally(call, "unknown exception");
  }
}

}  // namespace ml_worker
