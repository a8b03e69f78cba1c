// What --name and --sname mean, as `erl` understands them.
#pragma once

#include <string>

namespace ml_worker {

/// `given` with the machine's host name added where it has none: the short one for `--sname`, the
/// fully qualified one for `--name`. Throws StartupError(usage) where no host name of that kind is
/// to be had.
std::string complete_node_name(const std::string& given, bool short_names);

}  // namespace ml_worker
