// Erlang's External Term Format: the scan that makes hostile bytes safe, a reader and a writer on
// libei, and what `ml_worker:F(Args)` looks like as terms.
//
// Format: "External Term Format" in OTP's ERTS documentation (erl_ext_dist).
//
// libei trusts its input (reference: docs/PROTOCOL.md, "Why a scan"). So every byte that a peer
// sent passes scan() first: it checks bounds, nesting, sizes and UTF-8 of atoms without recursion
// and without allocating what a length claims. A Reader can only be made from a ScannedTerm.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ml_worker/error.h"
#include "ml_worker/service.h"

namespace ml_worker::terms {

using Bytes = std::vector<char>;
using ByteView = std::span<const char>;

struct ScanLimits {
  std::size_t depth = 256;         ///< nesting of tuples, lists and maps
  std::size_t elements = 4000000;  ///< terms in all
};

/// A term that scan() has proved to be well formed. A view: whoever holds the bytes keeps them.
class ScannedTerm {
 public:
  ByteView bytes() const { return bytes_; }  ///< without the version byte 131

 private:
  friend std::optional<ScannedTerm> scan_bare(ByteView&, const ScanLimits&);
  friend class Reader;  // what stands inside a scanned term is scanned
  explicit ScannedTerm(ByteView bytes) : bytes_(bytes) {}
  ByteView bytes_;
};

/// Scans one term *with* its version byte 131 from the front of `input` and advances `input` past
/// it. Nothing, and `input` unchanged, if the bytes are not a term of the format or over a limit.
/// Compressed terms, and tags that libei cannot read (RECORD_EXT …), are rejected as unreadable.
std::optional<ScannedTerm> scan(ByteView& input, const ScanLimits& limits = {});

/// The same for a term without version byte, as they stand behind a distribution header.
std::optional<ScannedTerm> scan_bare(ByteView& input, const ScanLimits& limits = {});

enum class TermType {
  atom,
  integer,
  floating,
  binary,
  bitstring,
  string,
  nil,
  list,
  tuple,
  map,
  pid,
  reference,
  port,
  fun
};

/// A cursor over the terms of one scanned term, depth first. Each read_* consumes a term of that
/// type and returns it, or returns nothing and does not move.
class Reader {
 public:
  explicit Reader(ScannedTerm term);

  bool at_end() const;
  TermType type() const;                       ///< REQUIRES: !at_end()
  std::optional<std::string> read_atom();      ///< UTF-8
  std::optional<std::int64_t> read_integer();  ///< nothing too for integers over 64 bits
  std::optional<double> read_float();
  std::optional<std::string_view> read_binary();
  /// STRING_EXT: a list of bytes in short form.
  std::optional<std::string_view> read_string();
  std::optional<std::size_t> read_tuple();  ///< arity; its elements follow
  std::optional<std::size_t> read_map();    ///< pairs; key, value, key, value … follow
  /// A cons list: its length; that many elements follow, then a tail (nil if proper).
  std::optional<std::size_t> read_list();
  bool read_nil();
  /// The bytes of the next term, whatever it is; moves past it.
  ByteView read_raw();
  /// The same as a term of its own, for another Reader. REQUIRES: !at_end()
  ScannedTerm read_term();

 private:
  ByteView rest_;
};

/// Appends terms. Containers are headers: the elements are written after them.
class Writer {
 public:
  explicit Writer(Bytes& out) : out_(out) {}

  void version();  ///< the byte 131
  void atom(std::string_view utf8);
  void integer(std::int64_t value);
  void floating(double value);  ///< REQUIRES: finite
  void binary(std::string_view bytes);
  void tuple(std::size_t arity);
  void list(std::size_t length);  ///< length > 0; nil() closes it
  void nil();
  void map(std::size_t pairs);
  /// A pid of ours (NEW_PID_EXT).
  void pid(std::string_view node, std::uint32_t id, std::uint32_t serial, std::uint32_t creation);
  void raw(ByteView term);
  void value(const Value& value);

 private:
  Bytes& out_;
};

// ---- ml_worker:F(Args) --------------------------------------------------------------------------

/// The request that `function` with the scanned argument list means: checks types, options, UTF-8
/// and limits. `undef` if there is no such function of that arity.
Result<Request> parse_request(std::string_view function, ScannedTerm arguments,
                              const RequestLimits& limits);

/// An empty buffer with room for `size` bytes. A large one has large pages, and is one that was
/// given back, if there is one of that size: the kernel clears fresh pages, which costs as much as
/// writing them. Any thread.
Bytes buffer_for(std::size_t size);

/// Gives a buffer back that is not needed any more. One is kept, of 8 to 128 MiB; while nobody uses
/// it the kernel may take its pages.
void recycle(Bytes bytes);

/// A finished call as terms *without* version byte: the value returned, or the reason raised.
struct CallReply {
  bool raised = false;
  Bytes term;
};

/// A sink that writes its reply as a term, in a buffer of the right size, and hands it to
/// `deliver` (on the thread that called the sink). What cannot be sent is a ReplyError: too_large.
std::shared_ptr<ReplySink> make_reply_sink(std::function<void(CallReply)> deliver);

/// The double nearest to the shortest decimal that reads back as `value` (finite).
double shortest_double(float value);

}  // namespace ml_worker::terms
