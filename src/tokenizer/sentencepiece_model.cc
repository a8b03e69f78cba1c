#include "tokenizer/sentencepiece_model.h"

#include <bit>
#include <cstdint>
#include <optional>
#include <stdexcept>

namespace ml_worker {
namespace {

enum class WireType : std::uint32_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

enum : std::uint64_t { kUnigram = 1, kNormalPiece = 1, kUnknownPiece = 2 };

[[noreturn]] void refuse(const std::string& what) {
  throw std::invalid_argument("SentencePiece model: " + what);
}

struct Field {
  std::uint32_t number;
  WireType type;
  std::uint64_t number_value;  ///< of varint, fixed32, fixed64
  std::string_view bytes;
};

/// Reads the fields of one message.
class FieldReader {
 public:
  explicit FieldReader(std::string_view message) : rest_(message) {}

  std::optional<Field> next() {
    if (rest_.empty()) return std::nullopt;
    const std::uint64_t key = varint();
    Field field{static_cast<std::uint32_t>(key >> 3), static_cast<WireType>(key & 7), 0, {}};
    switch (field.type) {
      case WireType::varint:
        field.number_value = varint();
        break;
      case WireType::fixed64:
        field.number_value = fixed(8);
        break;
      case WireType::fixed32:
        field.number_value = fixed(4);
        break;
      case WireType::bytes:
        field.bytes = take(varint());
        break;
      default:
        refuse("unknown wire type " + std::to_string(key & 7));
    }
    return field;
  }

 private:
  std::string_view take(std::uint64_t size) {
    if (size > rest_.size()) refuse("cut off");
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }

  std::uint64_t fixed(std::size_t size) {
    const std::string_view bytes = take(size);
    std::uint64_t value = 0;
    for (std::size_t i = size; i-- > 0;) value = value << 8 | static_cast<std::uint8_t>(bytes[i]);
    return value;
  }

  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<std::uint8_t>(take(1)[0]);
      value |= std::uint64_t{byte & 0x7FU} << shift;
      if (byte < 0x80) return value;
    }
    refuse("a number of more than ten bytes");
  }

  std::string_view rest_;
};

UnigramPiece read_piece(std::string_view message) {
  UnigramPiece piece;
  FieldReader reader(message);
  while (const auto field = reader.next()) {
    if (field->number == 1 && field->type == WireType::bytes) piece.text = field->bytes;
    if (field->number == 2 && field->type == WireType::fixed32) {
      piece.score = std::bit_cast<float>(static_cast<std::uint32_t>(field->number_value));
    }
  }
  return piece;
}

void check_trainer(std::string_view message) {
  FieldReader reader(message);
  while (const auto field = reader.next()) {
    if (field->number == 3 && field->number_value != kUnigram) {
      refuse("model_type " + std::to_string(field->number_value) +
             " is not supported, only Unigram");
    }
    if (field->number == 35 && field->number_value != 0) refuse("byte_fallback is not supported");
  }
}

std::string read_charsmap(std::string_view message) {
  std::string charsmap;
  FieldReader reader(message);
  while (const auto field = reader.next()) {
    if (field->number == 2 && field->type == WireType::bytes) charsmap = field->bytes;
  }
  return charsmap;
}

void put_varint(std::uint64_t value, std::string& out) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

void put_key(std::uint32_t number, WireType type, std::string& out) {
  put_varint(number << 3 | static_cast<std::uint32_t>(type), out);
}

void put_number(std::uint32_t number, std::uint64_t value, std::string& out) {
  put_key(number, WireType::varint, out);
  put_varint(value, out);
}

void put_bytes(std::uint32_t number, std::string_view bytes, std::string& out) {
  put_key(number, WireType::bytes, out);
  put_varint(bytes.size(), out);
  out += bytes;
}

void put_float(std::uint32_t number, float value, std::string& out) {
  put_key(number, WireType::fixed32, out);
  const auto bits = std::bit_cast<std::uint32_t>(value);
  for (unsigned shift = 0; shift < 32; shift += 8) out.push_back(static_cast<char>(bits >> shift));
}

void put_piece(std::string_view text, float score, std::uint64_t type, std::string& out) {
  std::string message;
  put_bytes(1, text, message);
  put_float(2, score, message);
  put_number(3, type, message);
  put_bytes(1, message, out);
}

}  // namespace

SentencePieceModel read_sentencepiece_model(std::string_view bytes) {
  SentencePieceModel model;
  FieldReader reader(bytes);
  while (const auto field = reader.next()) {
    if (field->type != WireType::bytes) continue;
    if (field->number == 1) model.pieces.push_back(read_piece(field->bytes));
    if (field->number == 2) check_trainer(field->bytes);
    if (field->number == 3) model.charsmap = read_charsmap(field->bytes);
  }
  return model;
}

std::string write_unigram_model(const std::vector<UnigramPiece>& pieces) {
  std::string model;
  for (const auto& piece : pieces) {
    put_piece(piece.text, static_cast<float>(piece.score), kNormalPiece, model);
  }
  // A name that no piece has: the library would find it in the place of that piece.
  put_piece(std::string(1, '\0'), 0, kUnknownPiece, model);
  std::string trainer;
  put_number(3, kUnigram, trainer);
  put_bytes(2, trainer, model);
  std::string normalizer;
  put_bytes(1, "identity", normalizer);
  for (const std::uint32_t option : {3U, 4U, 5U}) put_number(option, 0, normalizer);
  put_bytes(3, normalizer, model);
  return model;
}

}  // namespace ml_worker
