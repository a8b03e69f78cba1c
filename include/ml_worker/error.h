// Errors that a caller sees, as values: a kind and its evidence. The reasons are those of the
// contract (docs/API.md, "Errors"); start-up failures are exceptions (startup_error.h) instead.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "ml_worker/value.h"

namespace ml_worker {

enum class ErrorKind {
  undef,
  bad_argument,
  unknown_model,
  model_failed,
  too_long,
  too_large,
  overloaded,
  deadline_exceeded,
  unhealthy,
  draining,
};

/// The word that a reason of this kind begins with.
std::string_view name_of(ErrorKind kind);

struct Error {
  ErrorKind kind;
  Value reason;  ///< the Erlang reason, e.g. `{bad_argument, texts, <<"expected …, got …">>}`
  bool operator==(const Error&) const = default;
};

namespace errors {
Error undef();
/// `argument` names the argument or option; `what` reads "expected …, got …".
Error bad_argument(const std::string& argument, const std::string& what);
Error unknown_model(const std::string& name);
Error model_failed(const std::string& model, const std::string& what);
/// `index` counts from 1; `at_least` says that `tokens` is a lower bound.
Error too_long(std::size_t index, std::size_t tokens, bool at_least, std::size_t limit);
/// `what` is an atom: text (bytes), texts (count), call (bytes), queue …
Error too_large(const std::string& what, std::size_t got, std::size_t limit);
Error overloaded(std::chrono::milliseconds retry_after);
Error deadline_exceeded();
Error unhealthy(const std::string& what);
Error draining();
}  // namespace errors

/// Either a T or the Error that explains why there is none.
template <typename T>
class Result {
 public:
  Result(T value) : storage_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : storage_(std::in_place_index<1>, std::move(error)) {}

  explicit operator bool() const { return storage_.index() == 0; }
  /// REQUIRES: holds a value.
  T& operator*() { return std::get<0>(storage_); }
  const T& operator*() const { return std::get<0>(storage_); }
  T* operator->() { return &std::get<0>(storage_); }
  const T* operator->() const { return &std::get<0>(storage_); }
  /// REQUIRES: holds an error.
  const Error& error() const { return std::get<1>(storage_); }

 private:
  std::variant<T, Error> storage_;
};

}  // namespace ml_worker
