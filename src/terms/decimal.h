// The shortest decimal of a float32, as a double and as JSON text.
#pragma once

#include <cstddef>
#include <span>

namespace ml_worker::terms {

/// Characters of the longest number that write_json_number writes.
constexpr std::size_t kMaxJsonNumberChars = 24;

/// shortest_double() of each, as many as there are values.
void shortest_doubles(std::span<const float> values, double* out);

/// Writes the shortest decimal that reads back as `value` (finite) as a JSON number, always with a
/// point or an exponent so that readers take it for a float. Returns the end.
char* write_json_number(float value, char* out);

}  // namespace ml_worker::terms
