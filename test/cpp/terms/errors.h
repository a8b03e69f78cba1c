// What tests ask of an error: its reason's parts.
#pragma once

#include <string>

#include "ml_worker/error.h"

namespace ml_worker::terms::testing {

/// The element at `index` of a reason that is a tuple.
inline const Value& part(const Error& error, std::size_t index) {
  return std::get<ValueTuple>(error.reason.storage()).elements.at(index);
}

inline std::string atom_part(const Error& error, std::size_t index) {
  return std::get<Atom>(part(error, index).storage()).name;
}

inline std::string text_part(const Error& error, std::size_t index) {
  return std::get<std::string>(part(error, index).storage());
}

inline std::int64_t number_part(const Error& error, std::size_t index) {
  return std::get<std::int64_t>(part(error, index).storage());
}

/// "bad_argument texts: expected …, got …"
inline std::string bad_argument(const Error& error) {
  if (error.kind != ErrorKind::bad_argument) return "another kind of error";
  return atom_part(error, 1) + ": " + text_part(error, 2);
}

}  // namespace ml_worker::terms::testing
