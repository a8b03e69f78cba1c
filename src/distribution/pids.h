// Pids of ours: each call has one, as a process that runs it would. And references.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "distribution/wire.h"

namespace ml_worker::distribution {

class OurPids {
 public:
  /// `creation`: random at each start, so that pids of an earlier life are not taken for ours.
  OurPids(std::string node_name, std::uint32_t creation)
      : node_name_(std::move(node_name)), creation_(creation) {}

  /// Never the same twice.
  std::uint64_t allocate() { return ++last_; }
  /// The pid as a term, without version byte.
  Bytes term(std::uint64_t id) const;
  /// A reference, likewise, that nobody else has for the same id.
  Bytes reference(std::uint64_t id) const;
  /// The id if `term` (one scanned term) is a pid of ours, of this life.
  std::optional<std::uint64_t> recognise(ByteView term) const;

 private:
  std::string node_name_;
  std::uint32_t creation_;
  std::uint64_t last_ = 0;
};

}  // namespace ml_worker::distribution
