// A dynamically typed value: what info(), metrics() and error reasons are made of.
//
// The service builds Values and never knows how they travel; `terms` writes them as Erlang terms
// (see terms.h). Strings are UTF-8 and become Erlang binaries, atoms become Erlang atoms.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace ml_worker {

class Value;

struct Atom {
  std::string name;  ///< UTF-8, at most 255 code points
  bool operator==(const Atom&) const = default;
};

using ValueList = std::vector<Value>;

struct ValueTuple {
  std::vector<Value> elements;
  bool operator==(const ValueTuple&) const;
};

/// Keys in the order written; the writer of a map keeps them unique.
struct ValueMap {
  std::vector<std::pair<Value, Value>> entries;
  bool operator==(const ValueMap&) const;
};

class Value {
 public:
  using Storage =
      std::variant<Atom, std::int64_t, double, std::string, ValueList, ValueTuple, ValueMap>;

  Value(Atom atom) : storage_(std::move(atom)) {}
  Value(bool flag) : storage_(Atom{flag ? "true" : "false"}) {}
  Value(int number) : storage_(std::int64_t{number}) {}
  Value(std::int64_t number) : storage_(number) {}
  Value(std::size_t number) : storage_(static_cast<std::int64_t>(number)) {}
  /// Must be finite: an Erlang VM drops the connection on NaN or infinity.
  Value(double number) : storage_(number) {}
  Value(std::string utf8) : storage_(std::move(utf8)) {}
  Value(const char* utf8) : storage_(std::string(utf8)) {}
  Value(ValueList list) : storage_(std::move(list)) {}
  Value(ValueTuple tuple) : storage_(std::move(tuple)) {}
  Value(ValueMap map) : storage_(std::move(map)) {}

  const Storage& storage() const { return storage_; }
  bool operator==(const Value&) const = default;

 private:
  Storage storage_;
};

// Not defaulted: clang 14 (clang-tidy) crashes on a defaulted comparison of a recursive type.
inline bool ValueTuple::operator==(const ValueTuple& other) const {
  return elements == other.elements;
}
inline bool ValueMap::operator==(const ValueMap& other) const { return entries == other.entries; }

/// `atom("ok")`, `tuple({atom("too_large"), "text", 5, 4})`, `map({{"hits", 3}})` (atom keys).
inline Value atom(std::string name) { return Value(Atom{std::move(name)}); }
inline Value tuple(std::vector<Value> elements) { return Value(ValueTuple{std::move(elements)}); }
inline Value map(std::vector<std::pair<std::string, Value>> entries) {
  ValueMap result;
  result.entries.reserve(entries.size());
  for (auto& entry : entries) {
    result.entries.emplace_back(atom(std::move(entry.first)), std::move(entry.second));
  }
  return Value(std::move(result));
}

}  // namespace ml_worker
