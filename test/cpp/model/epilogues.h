#pragma once

#include <cmath>
#include <numbers>

#include "model/panel_product.h"

constexpr ml_worker::Epilogue kEpilogues[] = {ml_worker::Epilogue::none, ml_worker::Epilogue::gelu,
                                              ml_worker::Epilogue::add,
                                              ml_worker::Epilogue::multiply};

/// What an epilogue makes of a number of x·Wᵀ + b, in float64.
inline double finished(ml_worker::Epilogue epilogue, double number, double operand) {
  switch (epilogue) {
    case ml_worker::Epilogue::none:
      return number;
    case ml_worker::Epilogue::gelu:
      return number * std::erfc(-number / std::numbers::sqrt2) / 2;
    case ml_worker::Epilogue::add:
      return number + operand;
    case ml_worker::Epilogue::multiply:
      return number * operand;
  }
  return 0.0;
}
