#pragma once

#include <vector>

#include "model/vector_registers.h"

/// Registers that the machine has.
inline std::vector<ml_worker::VectorWidth> widths_of_this_machine() {
  using ml_worker::VectorWidth;
  std::vector<VectorWidth> widths;
  for (const auto width : {VectorWidth::bytes16, VectorWidth::bytes32, VectorWidth::bytes64}) {
    if (width <= ml_worker::vector_width()) widths.push_back(width);
  }
  return widths;
}
