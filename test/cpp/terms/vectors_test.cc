#include "terms/vectors.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <nlohmann/json.hpp>
#include <random>

#include "terms/bytes.h"

namespace ml_worker::terms {
namespace {

using testing::bytes;
using testing::Made;

std::string written(const std::vector<float>& values, VectorFormat format) {
  Bytes out;
  write_vector({.values = values}, format, out);
  return {out.begin(), out.end()};
}

/// What a binary term holds.
std::string content(const std::vector<float>& values, VectorFormat format) {
  const std::string term = written(values, format);
  return std::string(Reader(Made(Bytes(term.begin(), term.end())).term()).read_binary().value());
}

TEST_CASE("a list has each float as the double of its shortest decimal") {
  const std::string term = written({0.1F, -2.0F}, VectorFormat::list);
  const Made made(Bytes(term.begin(), term.end()));
  Reader reader(made.term());
  REQUIRE(reader.read_list() == 2);
  CHECK(reader.read_float() == 0.1);
  CHECK(reader.read_float() == -2.0);
  CHECK(reader.read_nil());
  CHECK(written({}, VectorFormat::list) == bytes({106}));
}

TEST_CASE("a binary has little-endian float32") {
  CHECK(content({1.0F, -2.0F}, VectorFormat::binary) == bytes({0, 0, 0x80, 0x3F, 0, 0, 0, 0xC0}));
  CHECK(content({}, VectorFormat::binary).empty());
}

TEST_CASE("base64 is that of the binary, padded") {
  CHECK(content({1.0F}, VectorFormat::base64) == "AACAPw==");
  CHECK(content({1.0F, -2.0F}, VectorFormat::base64) == "AACAPwAAAMA=");
  CHECK(content({1.0F, -2.0F, 0.5F}, VectorFormat::base64) == "AACAPwAAAMAAAAA/");
  CHECK(content({-1e-30F}, VectorFormat::base64) == "YEKijQ==");
  CHECK(content({}, VectorFormat::base64).empty());
}

TEST_CASE("JSON text is an array that reads back as the same floats") {
  CHECK(content({}, VectorFormat::json) == "[]");
  CHECK(content({0.5F, -0.0F, 3.0F}, VectorFormat::json) == "[0.5,-0.0,3.0]");
  std::mt19937 random(3);
  std::normal_distribution<float> elements(0.0F, 0.05F);
  std::vector<float> values(384);
  for (float& value : values) value = elements(random);
  const auto read = nlohmann::json::parse(content(values, VectorFormat::json));
  CHECK(read.get<std::vector<float>>() == values);
  CHECK(read.front().is_number_float());
}

TEST_CASE("sizes are exact before anything is written") {
  for (const std::size_t dimensions : {0U, 1U, 2U, 3U, 384U}) {
    const auto vector = std::make_shared<CachedVector>();
    vector->values.assign(dimensions, 0.0625F);
    const std::vector<std::shared_ptr<const CachedVector>> vectors = {vector, vector};
    for (const auto format : {VectorFormat::list, VectorFormat::binary, VectorFormat::base64}) {
      Bytes out;
      write_vectors(vectors, format, 1 << 20, out);
      CHECK(out.size() == vectors_size(vectors, format));
    }
  }
}

TEST_CASE("sizes of token vectors are exact before anything is written") {
  for (const auto& texts : std::vector<std::vector<std::vector<float>>>{
           {}, {{}}, {{0.5F, 1, 2, 3, 4, 5}, {}, {1, 2, 3}}}) {
    for (const auto format : {VectorFormat::list, VectorFormat::binary, VectorFormat::base64}) {
      const TokensReply reply{texts, 3, format};
      Bytes out;
      write_token_vectors(reply, 1 << 20, out);
      CHECK(out.size() == token_vectors_size(reply));
    }
  }
}

TEST_CASE("writing stops over the limit") {
  const auto vector = std::make_shared<CachedVector>();
  vector->values.assign(100, 0.1F);
  const std::vector<std::shared_ptr<const CachedVector>> vectors(100, vector);
  Bytes out;
  write_vectors(vectors, VectorFormat::json, 1000, out);
  CHECK(out.size() > 1000);
  CHECK(out.size() < 2000);
}

}  // namespace
}  // namespace ml_worker::terms
