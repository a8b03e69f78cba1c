// Extended grapheme clusters (UAX #29) as Hugging Face `tokenizers` finds them: Unicode 17.0.
#pragma once

#include <cstddef>
#include <string_view>

namespace ml_worker::unicode {

/// Code points of the cluster that `text` (not empty) begins with. Indic conjuncts, flags and
/// joined pictographs come as several shorter clusters: who asks here cares only for clusters
/// under six bytes of UTF-8, and those are none.
std::size_t grapheme_length(std::u32string_view text);

/// True if `c` (Grapheme_Cluster_Break=Prepend) joins what follows it.
bool takes_next(char32_t c);

}  // namespace ml_worker::unicode
