// What names a model: a digest over the files that decide its vectors.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ml_worker/encoder.h"

namespace ml_worker {

/// A file of the model: its name inside the directory and its content.
using NamedBytes = std::pair<std::string, std::span<const std::byte>>;

/// The first 16 hexadecimal digits of SHA-256 over the files in the order of their names: for each
/// the length of the name, the name, the length of the content, the content (lengths as 8 bytes,
/// little-endian), so that no two sets of files give the same bytes. `progress`, unless empty, is
/// told how many of all bytes have been read, again and again.
std::string model_identity(std::vector<NamedBytes> files, const LoadProgress& progress = {});

}  // namespace ml_worker
