#include "distribution/pids.h"

namespace ml_worker::distribution {
namespace {

// "External Term Format": NEW_PID_EXT is a tag, the node as an atom, id, serial and creation.
constexpr std::uint8_t kNewPid = 88;
// NEWER_REFERENCE_EXT is a tag, the number of words, the node as an atom, creation and the words.
constexpr std::uint8_t kNewerReference = 90;
constexpr std::size_t kNumbersBytes = 12;

std::size_t atom_header_bytes(std::uint8_t tag) {
  constexpr std::uint8_t kAtom = 100;
  constexpr std::uint8_t kSmallAtom = 115;
  constexpr std::uint8_t kAtomUtf8 = 118;
  constexpr std::uint8_t kSmallAtomUtf8 = 119;
  if (tag == kSmallAtom || tag == kSmallAtomUtf8) return 2;
  return tag == kAtom || tag == kAtomUtf8 ? 3 : 0;
}

}  // namespace

Bytes OurPids::term(std::uint64_t id) const {
  Bytes out;
  terms::Writer(out).pid(node_name_, static_cast<std::uint32_t>(id),
                         static_cast<std::uint32_t>(id >> 32U), creation_);
  return out;
}

Bytes OurPids::reference(std::uint64_t id) const {
  constexpr std::size_t kWords = 2;
  Bytes out;
  put_number(out, 1, kNewerReference);
  put_number(out, 2, kWords);
  terms::Writer(out).atom(node_name_);
  put_number(out, 4, creation_);
  put_number(out, 4 * kWords, id);
  return out;
}

std::optional<std::uint64_t> OurPids::recognise(ByteView term) const {
  WireReader in(term);
  if (in.u8() != kNewPid) return std::nullopt;
  const std::size_t header = atom_header_bytes(in.u8());
  if (header == 0) return std::nullopt;
  in.number(header - 1);  // the name's length follows from the size of the term
  if (term.size() != 1 + header + node_name_.size() + kNumbersBytes) return std::nullopt;
  if (in.text(node_name_.size()) != node_name_) return std::nullopt;
  const std::uint64_t id = in.u32();
  const std::uint64_t serial = in.u32();
  if (in.u32() != creation_ || !in.complete()) return std::nullopt;
  return serial << 32U | id;
}

}  // namespace ml_worker::distribution
