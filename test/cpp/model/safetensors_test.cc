#include "model/safetensors.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <nlohmann/json.hpp>

#include "ml_worker/startup_error.h"
#include "support/temporary_directory.h"

using namespace ml_worker;
using namespace ml_worker::testing;
using Catch::Matchers::Contains;

namespace {

std::string file_of(const std::string& header, const std::string& data) {
  const std::uint64_t size = header.size();
  std::string file(sizeof size, '\0');
  std::memcpy(file.data(), &size, sizeof size);
  return file + header + data;
}

nlohmann::json tensor(const char* dtype, std::vector<std::int64_t> shape, std::size_t begin,
                      std::size_t end) {
  return {{"dtype", dtype}, {"shape", shape}, {"data_offsets", {begin, end}}};
}

template <typename T>
std::string bytes_of(std::vector<T> values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

auto parse(const std::string& file) {
  return parse_safetensors(std::as_bytes(std::span(file)), "test");
}

/// What parsing says; "" if it succeeds.
std::string refusal(const nlohmann::json& header, const std::string& data) {
  try {
    parse(file_of(header.dump(), data));
    return "";
  } catch (const StartupError& error) {
    return error.code() == ExitCode::model ? error.what() : "wrong exit code";
  }
}

const std::string kData(16, 'x');

}  // namespace

TEST_CASE("tensors are views of the file, metadata is left aside") {
  const nlohmann::json header = {{"__metadata__", {{"format", "pt"}}},
                                 {"a", tensor("F32", {2, 1}, 0, 8)},
                                 {"b", tensor("I64", {}, 8, 16)},
                                 {"empty", tensor("F32", {0, 4}, 16, 16)}};
  const std::string file = file_of(header.dump(), kData);
  const auto tensors = parse(file);
  REQUIRE(tensors.size() == 3);
  CHECK(tensors.at("a").shape == std::vector<std::int64_t>{2, 1});
  CHECK(tensors.at("a").type == TensorType::float32);
  CHECK(static_cast<const void*>(tensors.at("a").bytes.data()) == file.data() + file.size() - 16);
  CHECK(tensors.at("b").type == TensorType::other);
  CHECK(tensors.at("empty").bytes.empty());
}

TEST_CASE("a file cut at any byte is refused") {
  const nlohmann::json header = {{"a", tensor("F32", {2}, 0, 8)}, {"b", tensor("F16", {4}, 8, 16)}};
  const std::string whole = file_of(header.dump(), kData);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    INFO("cut to " << size);
    CHECK_THROWS_AS(parse(whole.substr(0, size)), StartupError);
  }
  CHECK(parse(whole).size() == 2);
}

TEST_CASE("a byte changed anywhere never makes a tensor leave the file") {
  const nlohmann::json header = {{"a", tensor("F32", {2}, 0, 8)}, {"b", tensor("F16", {4}, 8, 16)}};
  const std::string whole = file_of(header.dump(), kData);
  for (std::size_t at = 0; at < whole.size() - kData.size(); ++at) {
    for (const char value : {'\0', '\xff', '9', '-', '}', '"'}) {
      std::string file = whole;
      file[at] = value;
      try {
        for (const auto& [name, stored] : parse(file)) {
          const auto* first = reinterpret_cast<const char*>(stored.bytes.data());
          CHECK((stored.bytes.empty() || (first >= file.data() && first + stored.bytes.size() <=
                                                                      file.data() + file.size())));
        }
      } catch (const StartupError&) {
        SUCCEED();
      }
    }
  }
}

TEST_CASE("a header longer than the file, or than any, is refused") {
  for (const std::uint64_t size :
       {std::uint64_t{3}, std::uint64_t{1} << 40, UINT64_MAX, UINT64_MAX - 7}) {
    std::string file(10, '\0');
    std::memcpy(file.data(), &size, sizeof size);
    CHECK_THROWS_WITH(parse(file), Contains("header of"));
  }
}

TEST_CASE("wrong entries are refused by name") {
  CHECK_THAT(refusal({{"a", tensor("F33", {2}, 0, 8)}}, kData), Contains("a: dtype 'F33'"));
  CHECK_THAT(refusal({{"a", tensor("F32", {3}, 0, 8)}}, kData), Contains("its shape takes 12"));
  CHECK_THAT(refusal({{"a", tensor("F32", {6}, 0, 24)}}, kData), Contains("lie outside"));
  CHECK_THAT(refusal({{"a", tensor("F32", {2}, 8, 0)}}, kData), Contains("lie outside"));
  CHECK_THAT(refusal({{"a", tensor("F32", {-2}, 0, 8)}}, kData), Contains("at least 0"));
  CHECK_THAT(refusal({{"a", tensor("F32", {INT64_MAX, INT64_MAX}, 0, 8)}}, kData),
             Contains("too large"));
  // 2⁶² floats are 2⁶⁴ bytes, which is 0 to a machine that does not look.
  CHECK_THAT(refusal({{"a", tensor("F32", {std::int64_t{1} << 62}, 0, 0)}}, kData),
             Contains("too large"));
  CHECK_THAT(refusal({{"a", tensor("F32", std::vector<std::int64_t>(9, 1), 0, 4)}}, kData),
             Contains("'shape'"));
  CHECK_THAT(refusal({{"a", 5}}, kData), Contains("expected an object"));
  CHECK_THAT(refusal({{"a", {{"dtype", "F32"}, {"shape", {2}}}}}, kData), Contains("data_offsets"));
}

TEST_CASE("tensors that overlap are refused") {
  CHECK_THAT(refusal({{"a", tensor("F32", {2}, 0, 8)}, {"b", tensor("F32", {2}, 4, 12)}}, kData),
             Contains("overlap"));
  CHECK_THAT(refusal({{"a", tensor("F32", {4}, 0, 16)}, {"b", tensor("F32", {1}, 4, 8)}}, kData),
             Contains("overlap"));
}

TEST_CASE("a header nested without end is refused") {
  CHECK_THROWS_WITH(parse(file_of(std::string(1 << 20, '['), "")), Contains("nested deeper"));
}

TEST_CASE("half precision becomes float32, value by value") {
  const nlohmann::json header = {{"half", tensor("F16", {6}, 0, 12)},
                                 {"brain", tensor("BF16", {2}, 12, 16)}};
  const std::string data =
      bytes_of<std::uint16_t>({0x3C00, 0xC000, 0x0001, 0x7BFF, 0x8000, 0x7C00, 0x3F80, 0xC049});
  const TemporaryDirectory directory;
  const Safetensors file(directory.write("m.safetensors", file_of(header.dump(), data)));
  const std::vector<std::int64_t> six = {6};
  const auto half = file.floats("half", six);
  const std::vector<float> values(half.get(), half.get() + 6);
  CHECK(values == std::vector<float>{1.0F, -2.0F, 0x1p-24F, 65504.0F, -0.0F, INFINITY});
  CHECK(std::signbit(values[4]));
  const std::vector<std::int64_t> two = {2};
  const auto brain = file.floats("brain", two);
  CHECK(brain.get()[0] == 1.0F);
  CHECK(brain.get()[1] == -3.140625F);
}

TEST_CASE("who takes a tensor gets the shape asked for, or an error") {
  const nlohmann::json header = {{"a", tensor("F32", {2}, 0, 8)}, {"n", tensor("I64", {1}, 8, 16)}};
  const TemporaryDirectory directory;
  // One blank more in the header puts the floats at an odd address.
  for (const char* blanks : {"", " "}) {
    const std::string data = bytes_of<float>({1.5F, -2.5F}) + std::string(8, 'x');
    const Safetensors file(directory.write("m", file_of(header.dump() + blanks, data)));
    const std::vector<std::int64_t> two = {2};
    const std::vector<std::int64_t> three = {3};
    const std::vector<std::int64_t> one = {1};
    CHECK(file.floats("a", two).get()[1] == -2.5F);
    CHECK_THROWS_WITH(file.floats("a", three), Contains("expected shape [3], got [2]"));
    CHECK_THROWS_WITH(file.floats("b", two), Contains("'b' is missing"));
    CHECK_THROWS_WITH(file.floats("n", one), Contains("dtype I64 is not supported"));
  }
}

TEST_CASE("what cannot be mapped is refused") {
  const TemporaryDirectory directory;
  CHECK_THROWS_AS(MappedFile(directory.path() / "none"), StartupError);
  CHECK_THROWS_AS(MappedFile(directory.path()), StartupError);
  CHECK_THROWS_AS(MappedFile(directory.write("empty", "")), StartupError);
}
