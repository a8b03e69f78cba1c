#include "model/safetensors.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <utility>

#include "json/json_file.h"
#include "ml_worker/startup_error.h"

namespace ml_worker {
namespace {

constexpr std::size_t kMaxHeaderBytes = std::size_t{100} << 20;  // the format's own limit
constexpr std::size_t kMaxDimensions = 8;

[[noreturn]] void refuse(const std::string& where, const std::string& what) {
  throw StartupError(ExitCode::model, where + ": " + what);
}

struct TypeInfo {
  std::string_view name;
  TensorType type;
  std::uint64_t size;
};

const TypeInfo* find_type(std::string_view name) {
  static constexpr std::array<TypeInfo, 14> kTypes = {{{"F32", TensorType::float32, 4},
                                                       {"F16", TensorType::float16, 2},
                                                       {"BF16", TensorType::bfloat16, 2},
                                                       {"F64", TensorType::other, 8},
                                                       {"I64", TensorType::other, 8},
                                                       {"U64", TensorType::other, 8},
                                                       {"I32", TensorType::other, 4},
                                                       {"U32", TensorType::other, 4},
                                                       {"I16", TensorType::other, 2},
                                                       {"U16", TensorType::other, 2},
                                                       {"I8", TensorType::other, 1},
                                                       {"U8", TensorType::other, 1},
                                                       {"BOOL", TensorType::other, 1},
                                                       {"F8_E4M3", TensorType::other, 1}}};
  const auto found = std::find_if(kTypes.begin(), kTypes.end(),
                                  [name](const TypeInfo& type) { return type.name == name; });
  return found == kTypes.end() ? nullptr : &*found;
}

/// A JSON array of non-negative integers, of `least` to `most` elements.
std::vector<std::uint64_t> read_numbers(const JsonObject& entry, const std::string& key,
                                        std::size_t least, std::size_t most) {
  const bool is_array = entry.has(key) && entry.json()[key].is_array();
  if (!is_array || entry.json()[key].size() < least || entry.json()[key].size() > most) {
    entry.fail(fmt::format("'{}': expected an array of {} to {} numbers", key, least, most));
  }
  std::vector<std::uint64_t> numbers;
  for (const auto& number : entry.json()[key]) {
    if (!number.is_number_unsigned()) {
      entry.fail(fmt::format("'{}': expected numbers of at least 0", key));
    }
    numbers.push_back(number.get<std::uint64_t>());
  }
  return numbers;
}

/// Bytes that a tensor of `shape` takes.
std::uint64_t byte_size(const JsonObject& entry, const std::vector<std::uint64_t>& shape,
                        std::uint64_t element) {
  std::uint64_t size = element;
  for (const std::uint64_t dimension : shape) {
    if (__builtin_mul_overflow(size, dimension, &size)) entry.fail("'shape': too large");
  }
  return size;
}

StoredTensor read_tensor(const JsonObject& entry, std::span<const std::byte> data) {
  const std::string type_name = entry.text("dtype");
  const TypeInfo* type = find_type(type_name);
  if (type == nullptr) entry.fail("dtype '" + type_name + "' is not known");
  const auto shape = read_numbers(entry, "shape", 0, kMaxDimensions);
  const auto offsets = read_numbers(entry, "data_offsets", 2, 2);
  if (offsets[0] > offsets[1] || offsets[1] > data.size()) {
    entry.fail(fmt::format("data_offsets {}–{} lie outside of {} bytes of data", offsets[0],
                           offsets[1], data.size()));
  }
  const std::uint64_t size = byte_size(entry, shape, type->size);
  if (size != offsets[1] - offsets[0]) {
    entry.fail(fmt::format("its shape takes {} bytes, data_offsets give {}", size,
                           offsets[1] - offsets[0]));
  }
  StoredTensor tensor;
  tensor.type = type->type;
  tensor.type_name = type_name;
  for (const std::uint64_t dimension : shape) {
    tensor.shape.push_back(static_cast<std::int64_t>(dimension));
  }
  tensor.bytes = data.subspan(offsets[0], size);
  return tensor;
}

void check_no_overlap(const std::map<std::string, StoredTensor>& tensors,
                      const std::string& where) {
  std::vector<std::span<const std::byte>> ranges;
  for (const auto& [name, tensor] : tensors) {
    if (!tensor.bytes.empty()) ranges.push_back(tensor.bytes);
  }
  std::sort(ranges.begin(), ranges.end(),
            [](const auto& a, const auto& b) { return a.data() < b.data(); });
  for (std::size_t i = 1; i < ranges.size(); ++i) {
    if (ranges[i - 1].data() + ranges[i - 1].size() > ranges[i].data()) {
      refuse(where, "two tensors overlap");
    }
  }
}

std::size_t header_size(std::span<const std::byte> file, const std::string& where) {
  std::uint64_t size = 0;
  if (file.size() < sizeof size) refuse(where, "too short for a safetensors file");
  std::memcpy(&size, file.data(), sizeof size);  // little-endian, as this machine
  static_assert(std::endian::native == std::endian::little);
  if (size > kMaxHeaderBytes || size > file.size() - sizeof size) {
    refuse(where, fmt::format("a header of {} bytes in a file of {}", size, file.size()));
  }
  return size;
}

float from_bfloat16(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

float from_float16(std::uint16_t bits) {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000U) << 16;
  const std::uint32_t exponent = (bits >> 10) & 0x1FU;
  const std::uint32_t mantissa = bits & 0x3FFU;
  if (exponent == 0) {  // subnormal: mantissa · 2⁻²⁴
    const float value = static_cast<float>(mantissa) * 0x1p-24F;
    return sign != 0 ? -value : value;
  }
  const std::uint32_t wide = exponent == 31 ? 255 : exponent + 112;
  return std::bit_cast<float>(sign | (wide << 23) | (mantissa << 13));
}

std::shared_ptr<const float> converted(const StoredTensor& tensor) {
  const std::size_t count = tensor.bytes.size() / 2;
  const auto values = std::make_shared<std::vector<float>>(count);
  for (std::size_t i = 0; i < count; ++i) {
    std::uint16_t bits = 0;
    std::memcpy(&bits, tensor.bytes.data() + 2 * i, sizeof bits);
    (*values)[i] = tensor.type == TensorType::float16 ? from_float16(bits) : from_bfloat16(bits);
  }
  return {values, values->data()};
}

std::shared_ptr<const float> copied(const StoredTensor& tensor) {
  const auto values = std::make_shared<std::vector<float>>(tensor.bytes.size() / sizeof(float));
  std::memcpy(values->data(), tensor.bytes.data(), tensor.bytes.size());
  return {values, values->data()};
}

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) refuse(path.string(), "cannot be opened");
  struct stat status {};
  const bool regular = fstat(file, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0;
  const auto size = static_cast<std::size_t>(status.st_size);
  void* data = regular ? mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0) : MAP_FAILED;
  close(file);
  if (data == MAP_FAILED) refuse(path.string(), "cannot be mapped (not a file, or empty)");
  bytes_ = {static_cast<const std::byte*>(data), size};
}

MappedFile::~MappedFile() {
  // munmap takes void* though it changes nothing of what it points to.
  munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

std::map<std::string, StoredTensor> parse_safetensors(std::span<const std::byte> file,
                                                      const std::string& where) {
  const std::size_t size = header_size(file, where);
  const auto header = file.subspan(sizeof(std::uint64_t), size);
  const auto data = file.subspan(sizeof(std::uint64_t) + size);
  const JsonObject entries(
      parse_json({reinterpret_cast<const char*>(header.data()), header.size()}, where), where);
  std::map<std::string, StoredTensor> tensors;
  for (const auto& [name, entry] : entries.json().items()) {
    if (name == "__metadata__") continue;
    tensors.emplace(name, read_tensor(JsonObject(entry, fmt::format("{}: {}", where, name)), data));
  }
  check_no_overlap(tensors, where);
  return tensors;
}

Safetensors::Safetensors(const std::filesystem::path& path)
    : where_(path.string()),
      file_(std::make_shared<MappedFile>(path)),
      tensors_(parse_safetensors(file_->bytes(), where_)) {}

std::vector<std::string> Safetensors::names() const {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors_) names.push_back(name);
  return names;
}

std::shared_ptr<const float> Safetensors::floats(const std::string& name,
                                                 std::span<const std::int64_t> shape) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) refuse(where_, "tensor '" + name + "' is missing");
  const StoredTensor& tensor = found->second;
  if (!std::equal(shape.begin(), shape.end(), tensor.shape.begin(), tensor.shape.end())) {
    refuse(where_, fmt::format("tensor '{}': expected shape [{}], got [{}]", name,
                               fmt::join(shape, ", "), fmt::join(tensor.shape, ", ")));
  }
  if (tensor.type == TensorType::other) {
    refuse(where_, fmt::format("tensor '{}': dtype {} is not supported", name, tensor.type_name));
  }
  if (tensor.type != TensorType::float32) return converted(tensor);
  const auto* data = reinterpret_cast<const float*>(tensor.bytes.data());
  const bool aligned = reinterpret_cast<std::uintptr_t>(data) % alignof(float) == 0;
  return aligned ? std::shared_ptr<const float>(file_, data) : copied(tensor);
}

}  // namespace ml_worker
