#include <ei.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "ml_worker/terms.h"
#include "terms/token.h"

namespace ml_worker::terms {
namespace {

/// Asks one of libei's encoders for its length, then lets it write at the end of `out`.
template <typename Encode>
void append(Bytes& out, Encode encode) {
  int size = 0;
  if (encode(nullptr, &size) != 0) return;
  const std::size_t start = out.size();
  out.resize(start + static_cast<std::size_t>(size));
  int index = 0;
  encode(out.data() + start, &index);
}

struct ValueWriter {
  Writer& writer;

  void operator()(const Atom& atom) const { writer.atom(atom.name); }
  void operator()(std::int64_t number) const { writer.integer(number); }
  void operator()(const std::string& text) const { writer.binary(text); }

  // A VM drops the connection on NaN and infinity: a statistic gone wrong must not cost that.
  void operator()(double number) const {
    if (std::isfinite(number)) {
      writer.floating(number);
    } else {
      writer.atom("undefined");
    }
  }

  void operator()(const ValueList& list) const {
    if (!list.empty()) writer.list(list.size());
    for (const Value& element : list) writer.value(element);
    writer.nil();
  }

  void operator()(const ValueTuple& tuple) const {
    writer.tuple(tuple.elements.size());
    for (const Value& element : tuple.elements) writer.value(element);
  }

  void operator()(const ValueMap& map) const {
    writer.map(map.entries.size());
    for (const auto& [key, value] : map.entries) {
      writer.value(key);
      writer.value(value);
    }
  }
};

}  // namespace

void Writer::version() { out_.push_back(kVersion); }

void Writer::atom(std::string_view utf8) {
  append(out_, [&](char* buffer, int* index) {
    return ei_encode_atom_len_as(buffer, index, utf8.data(), static_cast<int>(utf8.size()),
                                 ERLANG_UTF8, ERLANG_UTF8);
  });
}

void Writer::integer(std::int64_t value) {
  append(out_, [&](char* buffer, int* index) { return ei_encode_longlong(buffer, index, value); });
}

void Writer::floating(double value) {
  append(out_, [&](char* buffer, int* index) { return ei_encode_double(buffer, index, value); });
}

void Writer::binary(std::string_view bytes) {
  append(out_, [&](char* buffer, int* index) {
    return ei_encode_binary(buffer, index, bytes.data(), static_cast<long>(bytes.size()));
  });
}

void Writer::tuple(std::size_t arity) {
  append(out_, [&](char* buffer, int* index) {
    return ei_encode_tuple_header(buffer, index, static_cast<int>(arity));
  });
}

void Writer::list(std::size_t length) {
  append(out_, [&](char* buffer, int* index) {
    return ei_encode_list_header(buffer, index, static_cast<int>(length));
  });
}

void Writer::nil() { out_.push_back(static_cast<char>(Tag::nil)); }

void Writer::map(std::size_t pairs) {
  append(out_, [&](char* buffer, int* index) {
    return ei_encode_map_header(buffer, index, static_cast<int>(pairs));
  });
}

void Writer::pid(std::string_view node, std::uint32_t id, std::uint32_t serial,
                 std::uint32_t creation) {
  erlang_pid pid{};
  std::memcpy(pid.node, node.data(), std::min(node.size(), sizeof pid.node - 1));
  pid.num = id;
  pid.serial = serial;
  pid.creation = creation;
  append(out_, [&](char* buffer, int* index) { return ei_encode_pid(buffer, index, &pid); });
}

void Writer::raw(ByteView term) { out_.insert(out_.end(), term.begin(), term.end()); }

void Writer::value(const Value& value) { std::visit(ValueWriter{*this}, value.storage()); }

}  // namespace ml_worker::terms
