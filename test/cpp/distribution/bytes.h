// Small terms and byte strings for the tests of this folder.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "distribution/control.h"
#include "distribution/wire.h"

namespace ml_worker::distribution::test {

inline Bytes bytes(std::initializer_list<int> values) {
  Bytes out;
  for (const int value : values) out.push_back(static_cast<char>(value));
  return out;
}

inline Bytes text(std::string_view value) { return {value.begin(), value.end()}; }

inline Bytes from_hex(std::string_view hex) {
  Bytes out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    out.push_back(static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  }
  return out;
}

inline Bytes operator+(Bytes left, const Bytes& right) {
  put_bytes(left, right);
  return left;
}

inline Bytes atom(std::string_view name) {
  Bytes out;
  terms::Writer(out).atom(name);
  return out;
}

inline Bytes integer(std::int64_t value) {
  Bytes out;
  terms::Writer(out).integer(value);
  return out;
}

inline Bytes tuple(std::initializer_list<Bytes> elements) {
  Bytes out;
  terms::Writer(out).tuple(elements.size());
  for (const Bytes& element : elements) put_bytes(out, element);
  return out;
}

inline Bytes list(std::initializer_list<Bytes> elements) {
  Bytes out;
  terms::Writer writer(out);
  if (elements.size() > 0) writer.list(elements.size());
  for (const Bytes& element : elements) put_bytes(out, element);
  writer.nil();
  return out;
}

/// `[alias|Reference]`, the improper list that gen:call sends as tag.
inline Bytes alias_tag(const Bytes& reference) {
  Bytes out;
  terms::Writer writer(out);
  writer.list(1);
  writer.atom("alias");
  writer.raw(reference);
  return out;
}

/// NEW_PID_EXT of a process at `node`.
inline Bytes pid(std::string_view node, std::uint32_t id) {
  Bytes out;
  terms::Writer(out).pid(node, id, 0, 77);
  return out;
}

/// NEWER_REFERENCE_EXT.
inline Bytes reference(std::string_view node, std::uint32_t id) {
  Bytes out = bytes({90, 0, 1});
  put_bytes(out, atom(node));
  put_number(out, 4, 77);
  put_number(out, 4, id);
  return out;
}

inline Bytes versioned(const Bytes& term) { return bytes({131}) + term; }

/// The body of a pass-through frame.
inline Bytes frame_body(const Bytes& control) { return text("p") + versioned(control); }
inline Bytes frame_body(const Bytes& control, const Bytes& payload) {
  return frame_body(control) + versioned(payload);
}

inline Bytes with_length(std::size_t width, const Bytes& body) {
  Bytes out;
  put_number(out, width, body.size());
  return out + body;
}

/// A message as a pass-through frame.
inline Bytes whole(const TermParts& term) {
  Bytes out = term.head;
  put_bytes(out, term.tail_bytes());
  return out;
}

inline Bytes wire(const OutMessage& message) {
  Bytes body = frame_body(message.control);
  if (message.payload) put_bytes(body, versioned(whole(*message.payload)));
  return with_length(4, body);
}

}  // namespace ml_worker::distribution::test
