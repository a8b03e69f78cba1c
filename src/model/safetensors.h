// The safetensors format: an 8-byte length, a JSON header, then the tensors' bytes.
// https://huggingface.co/docs/safetensors/index#format
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ml_worker {

enum class TensorType { float32, float16, bfloat16, other };

/// A tensor in a mapped file.
struct StoredTensor {
  TensorType type = TensorType::other;
  std::string type_name;  ///< as the header has it: "F32", "I64" …
  std::vector<std::int64_t> shape;
  std::span<const std::byte> bytes;
};

/// A whole file, mapped read-only; unmapped when the last owner goes.
class MappedFile {
 public:
  /// Throws StartupError(ExitCode::model).
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::span<const std::byte> bytes_;
};

/// The tensors of `file`, views of it. The header is proved first: its length, types and shapes,
/// every tensor inside the file and as long as its shape says, none over another.
/// Throws StartupError(ExitCode::model); `where` names the file.
std::map<std::string, StoredTensor> parse_safetensors(std::span<const std::byte> file,
                                                      const std::string& where);

/// One model file: who takes a tensor says which shape it must have.
class Safetensors {
 public:
  explicit Safetensors(const std::filesystem::path& path);

  bool has(const std::string& name) const { return tensors_.contains(name); }
  std::vector<std::string> names() const;
  /// The elements as float32: a view of the file where they are, else a converted copy, which the
  /// result owns. Throws StartupError(ExitCode::model) if there is no such tensor, or of another
  /// shape or of a type that is not a floating-point one.
  std::shared_ptr<const float> floats(const std::string& name,
                                      std::span<const std::int64_t> shape) const;
  const std::shared_ptr<MappedFile>& file() const { return file_; }

 private:
  std::string where_;
  std::shared_ptr<MappedFile> file_;
  std::map<std::string, StoredTensor> tensors_;
};

}  // namespace ml_worker
