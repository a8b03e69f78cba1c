#include "model/identity.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>

#include "ml_worker/startup_error.h"

namespace ml_worker {
namespace {

constexpr std::size_t kPiece = std::size_t{4} << 20;

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    check(context_ != nullptr && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
  }
  void add(std::span<const std::byte> bytes) {
    check(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1);
  }
  void add_with_length(std::span<const std::byte> bytes) {
    add_with_length(bytes, [](std::size_t) {});
  }
  void add_with_length(std::span<const std::byte> bytes, const auto& added) {
    const std::array<std::uint64_t, 1> size = {bytes.size()};
    add(std::as_bytes(std::span(size)));
    while (!bytes.empty()) {
      const auto piece = bytes.first(std::min(bytes.size(), kPiece));
      add(piece);
      added(piece.size());
      bytes = bytes.subspan(piece.size());
    }
  }
  std::array<unsigned char, 32> finish() {
    std::array<unsigned char, 32> digest{};
    unsigned int size = 0;
    check(EVP_DigestFinal_ex(context_.get(), digest.data(), &size) == 1 && size == digest.size());
    return digest;
  }

 private:
  static void check(bool ok) {
    if (!ok) throw StartupError(ExitCode::internal, "SHA-256 failed in OpenSSL");
  }
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

}  // namespace

std::string model_identity(std::vector<NamedBytes> files, const LoadProgress& progress) {
  std::sort(files.begin(), files.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  std::size_t total = 0;
  for (const auto& file : files) total += file.second.size();
  std::size_t done = 0;
  const auto read = [&](std::size_t bytes) {
    done += bytes;
    if (progress) progress(done, total);
  };
  Sha256 hash;
  for (const auto& [name, content] : files) {
    hash.add_with_length(std::as_bytes(std::span(name)));
    hash.add_with_length(content, read);
  }
  const auto digest = hash.finish();
  std::string hex;
  for (std::size_t i = 0; i < 8; ++i) hex += fmt::format("{:02x}", digest.at(i));
  return hex;
}

}  // namespace ml_worker
