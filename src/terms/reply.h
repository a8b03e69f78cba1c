// Limits of a reply, apart from make_reply_sink() for its tests.
#pragma once

#include <functional>
#include <memory>

#include "ml_worker/terms.h"

namespace ml_worker::terms {

/// A frame of the distribution holds 2 GiB; what goes round the term needs a little of it.
constexpr std::size_t kMaxReplyBytes = (std::size_t{1} << 31) - (std::size_t{1} << 16);

/// make_reply_sink() with another limit.
std::shared_ptr<ReplySink> make_reply_sink(std::function<void(CallReply)> deliver,
                                           std::size_t max_bytes);

}  // namespace ml_worker::terms
