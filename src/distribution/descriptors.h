// How many files and sockets the process may have open.
#pragma once

#include <cstddef>

namespace ml_worker::distribution {

/// Raises the soft limit to `wanted`, or to the hard limit if that is lower; never lowers it. The
/// limit that is in force then.
std::size_t raise_descriptor_limit(std::size_t wanted);

}  // namespace ml_worker::distribution
