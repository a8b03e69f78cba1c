#include "worker/golden_files.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <system_error>

namespace ml_worker {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFormat = "ml_worker golden vectors 1";
constexpr std::size_t kMaxBytes = std::size_t{16} << 20;

/// Numerics as part of a file's name.
std::string as_file_name(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return std::isalnum(c) == 0 && c != '-'; }, '_');
  return text;
}

std::optional<std::vector<float>> parse_line(const std::string& line) {
  std::vector<float> vector;
  const char* at = line.c_str();
  while (*at != '\0') {
    char* end = nullptr;
    const float value = std::strtof(at, &end);
    if (end == at) return std::nullopt;
    vector.push_back(value);
    at = *end == ' ' ? end + 1 : end;
  }
  return vector;
}

std::optional<GoldenVectors> read(const fs::path& file) {
  std::error_code error;
  if (fs::file_size(file, error) > kMaxBytes || error) return std::nullopt;
  std::ifstream input(file);
  std::string line;
  if (!std::getline(input, line) || line != kFormat) return std::nullopt;
  GoldenVectors vectors;
  while (std::getline(input, line)) {
    auto vector = parse_line(line);
    if (!vector) return std::nullopt;
    vectors.push_back(std::move(*vector));
  }
  return vectors;
}

std::string text_of(const GoldenVectors& vectors) {
  std::string text = std::string(kFormat) + "\n";
  for (const auto& vector : vectors) {
    for (std::size_t i = 0; i < vector.size(); ++i) {
      text += fmt::format("{}{:a}", i == 0 ? "" : " ", vector[i]);
    }
    text += "\n";
  }
  return text;
}

/// Whole or not at all, whoever else writes the same file. Returns what went wrong.
std::string write(const fs::path& file, const GoldenVectors& vectors) {
  std::error_code error;
  fs::create_directories(file.parent_path(), error);
  const fs::path temporary = file.string() + fmt::format(".{}", getpid());
  {
    std::ofstream output(temporary, std::ios::trunc);
    output << text_of(vectors);
    output.close();
    if (!output) return file.string() + ": " + std::strerror(errno);
  }
  fs::rename(temporary, file, error);
  return error ? file.string() + ": " + error.message() : "";
}

}  // namespace

fs::path GoldenFiles::file_of(const ModelDescription& model) const {
  if (folder_.empty()) return {};
  return folder_ / (as_file_name(model.model_id) + "." + as_file_name(model.numerics) + ".golden");
}

GoldenFiles::Verified GoldenFiles::verify(Encoder& encoder) const {
  const ModelDescription& model = encoder.description();
  Verified result;
  result.vectors = compute_golden(encoder);
  result.file = file_of(model);
  if (result.file.empty()) return result;
  std::error_code error;
  if (!fs::exists(result.file, error)) {
    result.first = true;
    result.problem = write(result.file, result.vectors);
    return result;
  }
  const auto stored = read(result.file);
  if (stored) {
    result.difference = compare_golden(model, result.vectors, *stored);
  } else {
    result.problem = result.file.string() + " cannot be read as golden vectors";
  }
  return result;
}

std::string drift_message(const ModelDescription& model, const GoldenFiles::Verified& verified) {
  return fmt::format(
      "{} does not give the vectors that it gave when it was verified: they differ by {:.2g}, "
      "allowed {:.2g} (remove {} to accept the new ones)",
      model.name, verified.difference.largest, verified.difference.allowed, verified.file.string());
}

}  // namespace ml_worker
