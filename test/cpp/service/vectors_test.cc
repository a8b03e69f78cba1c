#include "service/vectors.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <set>

using namespace ml_worker;  // NOLINT(google-build-using-namespace)

namespace {

ModelDescription model() {
  ModelDescription description;
  description.name = "m";
  description.dimensions = 4;
  description.normalizes = true;
  description.truncation_side = TruncationSide::left;
  description.model_id = "id";
  description.numerics = "float32";
  return description;
}

VectorShape shape_of(bool normalize, std::size_t dimensions) {
  return {normalize, dimensions, TruncationSide::right};
}

}  // namespace

TEST_CASE("what the caller does not say is the model's own") {
  const auto shape = resolve_shape({}, model());
  REQUIRE(shape);
  CHECK(shape->normalize);
  CHECK(shape->dimensions == 4);
  CHECK(shape->truncation_side == TruncationSide::left);
}

TEST_CASE("dimensions out of 1 … N are a bad argument") {
  EncodeOptions options;
  options.dimensions = GENERATE(std::size_t{0}, std::size_t{5}, SIZE_MAX);
  const auto shape = resolve_shape(options, model());
  REQUIRE_FALSE(shape);
  CHECK(shape.error() ==
        errors::bad_argument("dimensions",
                             "expected 1 to 4, got " + std::to_string(*options.dimensions)));
}

TEST_CASE("every option that changes the vector changes the key") {
  ModelDescription other_weights = model();
  other_weights.model_id = "id2";
  ModelDescription other_numerics = model();
  other_numerics.numerics = "float16";
  VectorShape left = shape_of(true, 4);
  left.truncation_side = TruncationSide::left;
  const std::set<std::string> keys = {cache_key_prefix(model(), shape_of(true, 4)),
                                      cache_key_prefix(model(), shape_of(false, 4)),
                                      cache_key_prefix(model(), shape_of(true, 3)),
                                      cache_key_prefix(model(), left),
                                      cache_key_prefix(other_weights, shape_of(true, 4)),
                                      cache_key_prefix(other_numerics, shape_of(true, 4))};
  CHECK(keys.size() == 6);
}

TEST_CASE("normalising divides by the norm, and never by nothing") {
  const std::vector<float> raw = {3, 0, 4, 0};
  CHECK(*finish_vector(raw, shape_of(false, 4)) == raw);
  CHECK(*finish_vector(raw, shape_of(true, 4)) == std::vector<float>{0.6F, 0, 0.8F, 0});
  CHECK(*finish_vector(std::vector<float>{0, 0}, shape_of(true, 2)) == std::vector<float>{0, 0});
  const auto tiny = finish_vector(std::vector<float>{1e-20F}, shape_of(true, 1));
  CHECK(tiny->at(0) == Approx(1e-8F));
}

TEST_CASE("a cut vector is normalised again") {
  const std::vector<float> raw = {3, 4, 100, 100};
  CHECK(*finish_vector(raw, shape_of(true, 2)) == std::vector<float>{0.6F, 0.8F});
  CHECK(*finish_vector(raw, shape_of(false, 2)) == std::vector<float>{3, 4});
}

TEST_CASE("large finite numbers do not overflow on the way") {
  const float large = std::numeric_limits<float>::max();
  const auto vector = finish_vector(std::vector<float>{large, large}, shape_of(true, 2));
  REQUIRE(vector);
  CHECK(vector->at(0) == Approx(std::sqrt(0.5)));
}

TEST_CASE("NaN or infinity anywhere gives no vector, even in what would be cut off") {
  const float bad =
      GENERATE(std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
               -std::numeric_limits<float>::infinity());
  CHECK_FALSE(finish_vector(std::vector<float>{1, bad}, shape_of(true, 2)));
  CHECK_FALSE(finish_vector(std::vector<float>{1, bad}, shape_of(false, 1)));
}
