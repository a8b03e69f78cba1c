#include "terms/vectors.h"

#include <endian.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>

#include "terms/decimal.h"
#include "terms/token.h"

namespace ml_worker::terms {
namespace {

static_assert(std::endian::native == std::endian::little && std::numeric_limits<float>::is_iec559 &&
                  sizeof(float) == 4,
              "vectors in binary form are this machine's floats");

constexpr std::size_t kHeaderBytes = 5;       ///< LIST_EXT or BINARY_EXT and a length
constexpr std::size_t kFloatTermBytes = 9;    ///< NEW_FLOAT_EXT
constexpr std::size_t kJsonNumberChars = 13;  ///< of an element of a normalised vector, with comma

char* put_big_endian(std::uint32_t value, char* out) {
  const std::uint32_t swapped = htobe32(value);
  std::memcpy(out, &swapped, sizeof swapped);
  return out + sizeof swapped;
}

char* put_big_endian(std::uint64_t value, char* out) {
  const std::uint64_t swapped = htobe64(value);
  std::memcpy(out, &swapped, sizeof swapped);
  return out + sizeof swapped;
}

char* put_header(Tag tag, std::size_t length, char* out) {
  *out++ = static_cast<char>(tag);
  return put_big_endian(static_cast<std::uint32_t>(length), out);
}

std::size_t base64_length(std::size_t bytes) { return (bytes + 2) / 3 * 4; }

/// Three bytes as four characters; the last `missing` (0 … 2) stand for no byte.
char* put_base64_group(std::uint32_t group, int missing, char* out) {
  static constexpr char kAlphabet[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (int shift = 18; shift >= 0; shift -= 6) {
    *out++ = shift >= 6 * missing ? kAlphabet[group >> shift & 0x3FU] : '=';
  }
  return out;
}

/// RFC 4648, section 4, with padding.
char* put_base64(const unsigned char* bytes, std::size_t size, char* out) {
  std::size_t i = 0;
  for (; i + 3 <= size; i += 3) {
    const std::uint32_t group = std::uint32_t{bytes[i]} << 16U | std::uint32_t{bytes[i + 1]} << 8U |
                                std::uint32_t{bytes[i + 2]};
    out = put_base64_group(group, 0, out);
  }
  if (i + 1 == size) return put_base64_group(std::uint32_t{bytes[i]} << 16U, 2, out);
  if (i + 2 == size) {
    return put_base64_group(std::uint32_t{bytes[i]} << 16U | std::uint32_t{bytes[i + 1]} << 8U, 1,
                            out);
  }
  return out;
}

/// Room for `size` more bytes at the end of `out`.
char* extend(Bytes& out, std::size_t size) {
  const std::size_t start = out.size();
  out.resize(start + size);
  return out.data() + start;
}

/// Of a list without its elements.
std::size_t list_size(std::size_t length) { return length == 0 ? 1 : kHeaderBytes + 1; }

std::size_t vector_size(std::size_t dimensions, VectorFormat format) {
  const std::size_t raw = dimensions * sizeof(float);
  switch (format) {
    case VectorFormat::list:
      return list_size(dimensions) + dimensions * kFloatTermBytes;
    case VectorFormat::binary:
      return kHeaderBytes + raw;
    case VectorFormat::base64:
      return kHeaderBytes + base64_length(raw);
    case VectorFormat::json:
      break;
  }
  return kHeaderBytes + 2 + dimensions * kJsonNumberChars;
}

char* put_floats(std::span<const double> values, char* out) {
  for (const double value : values) {
    *out++ = static_cast<char>(Tag::new_float);
    out = put_big_endian(std::bit_cast<std::uint64_t>(value), out);
  }
  return out;
}

void write_list(std::span<const float> values, Bytes& out) {
  char* at = extend(out, vector_size(values.size(), VectorFormat::list));
  if (!values.empty()) at = put_header(Tag::list, values.size(), at);
  std::array<double, 128> doubles{};
  while (!values.empty()) {
    const auto next = values.first(std::min(values.size(), doubles.size()));
    shortest_doubles(next, doubles.data());
    at = put_floats(std::span(doubles).first(next.size()), at);
    values = values.subspan(next.size());
  }
  *at = static_cast<char>(Tag::nil);
}

void write_binary(std::span<const float> values, Bytes& out) {
  put_header(Tag::binary, values.size_bytes(), extend(out, kHeaderBytes));
  const auto bytes = std::as_bytes(values);
  const auto* const first = reinterpret_cast<const char*>(bytes.data());
  out.insert(out.end(), first, first + bytes.size());
}

void write_base64(std::span<const float> values, Bytes& out) {
  char* at = extend(out, vector_size(values.size(), VectorFormat::base64));
  at = put_header(Tag::binary, base64_length(values.size_bytes()), at);
  put_base64(reinterpret_cast<const unsigned char*>(values.data()), values.size_bytes(), at);
}

/// The text is as long as its numbers turn out to be: written first, measured after.
void write_json(std::span<const float> values, Bytes& out) {
  const std::size_t start = out.size();
  char* const header = extend(out, kHeaderBytes + 2 + values.size() * (kMaxJsonNumberChars + 1));
  char* const text = header + kHeaderBytes;
  char* at = text;
  *at++ = '[';
  for (const float value : values) {
    if (at != text + 1) *at++ = ',';
    at = write_json_number(value, at);
  }
  *at++ = ']';
  const auto length = static_cast<std::size_t>(at - text);
  put_header(Tag::binary, length, header);
  out.resize(start + kHeaderBytes + length);
}

void write_values(std::span<const float> values, VectorFormat format, Bytes& out) {
  switch (format) {
    case VectorFormat::list:
      return write_list(values, out);
    case VectorFormat::binary:
      return write_binary(values, out);
    case VectorFormat::base64:
      return write_base64(values, out);
    case VectorFormat::json:
      return write_json(values, out);
  }
}

void write_number(float value, Bytes& out) { Writer(out).floating(shortest_double(value)); }

void write_json_scalar(float value, Bytes& out) {
  std::array<char, kMaxJsonNumberChars> text{};
  const char* const end = write_json_number(value, text.data());
  Writer(out).binary({text.data(), static_cast<std::size_t>(end - text.data())});
}

}  // namespace

std::size_t vectors_size(VectorList vectors, VectorFormat format) {
  std::size_t size = list_size(vectors.size());
  for (const auto& vector : vectors) size += vector_size(vector->values.size(), format);
  return size;
}

std::size_t token_vectors_size(const TokensReply& reply) {
  std::size_t size = list_size(reply.texts.size());
  for (const auto& text : reply.texts) {
    const std::size_t rows = text.size() / reply.dimensions;
    size += list_size(rows) + rows * vector_size(reply.dimensions, reply.format);
  }
  return size;
}

void write_vector(const CachedVector& vector, VectorFormat format, Bytes& out) {
  write_values(vector.values, format, out);
}

void write_vectors(VectorList vectors, VectorFormat format, std::size_t max_bytes, Bytes& out) {
  Writer writer(out);
  if (!vectors.empty()) writer.list(vectors.size());
  for (const auto& vector : vectors) {
    write_vector(*vector, format, out);
    if (out.size() > max_bytes) return;
  }
  writer.nil();
}

void write_scalar(float value, VectorFormat format, Bytes& out) {
  switch (format) {
    case VectorFormat::list:
      return write_number(value, out);
    case VectorFormat::json:
      return write_json_scalar(value, out);
    case VectorFormat::binary:
    case VectorFormat::base64:
      return write_values({&value, 1}, format, out);
  }
}

void write_scalars(VectorList vectors, VectorFormat format, Bytes& out) {
  Writer writer(out);
  if (!vectors.empty()) writer.list(vectors.size());
  for (const auto& vector : vectors) write_scalar(vector->values.front(), format, out);
  writer.nil();
}

void write_token_vectors(const TokensReply& reply, std::size_t max_bytes, Bytes& out) {
  Writer writer(out);
  if (!reply.texts.empty()) writer.list(reply.texts.size());
  for (const auto& text : reply.texts) {
    const std::span<const float> rows(text);
    if (!rows.empty()) writer.list(rows.size() / reply.dimensions);
    for (std::size_t at = 0; at < rows.size() && out.size() <= max_bytes; at += reply.dimensions) {
      write_values(rows.subspan(at, reply.dimensions), reply.format, out);
    }
    if (out.size() > max_bytes) return;
    writer.nil();
  }
  writer.nil();
}

}  // namespace ml_worker::terms
