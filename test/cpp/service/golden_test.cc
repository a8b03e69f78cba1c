#include "ml_worker/golden.h"

#include <catch2/catch.hpp>
#include <limits>

#include "support/fake_encoder.h"

using namespace ml_worker;        // NOLINT(google-build-using-namespace)
using namespace ml_worker::test;  // NOLINT(google-build-using-namespace)

TEST_CASE("golden vectors are the same each time") {
  FakeEncoder encoder;
  const GoldenVectors first = compute_golden(encoder);
  CHECK(first.size() == golden_sentences().size());
  CHECK(compare_golden(encoder.description(), compute_golden(encoder), first).largest == 0.0);
}

TEST_CASE("float32 may differ by 1e-5, other types by more") {
  FakeEncoder encoder;
  const GoldenVectors expected = compute_golden(encoder);
  const auto ok = [&] {
    return compare_golden(encoder.description(), compute_golden(encoder), expected).ok();
  };
  encoder.drift = 1e-6F;
  CHECK(ok());
  encoder.drift = 1e-3F;
  CHECK_FALSE(ok());
  encoder.change_description().numerics = "float16/cublas/cuda";
  CHECK(ok());
  encoder.drift = 0.5F;
  CHECK_FALSE(ok());
}

TEST_CASE("what cannot be compared is never right") {
  FakeEncoder encoder;
  const ModelDescription& model = encoder.description();
  const GoldenVectors expected = compute_golden(encoder);
  GoldenVectors other = expected;
  other.back().back() = std::numeric_limits<float>::quiet_NaN();
  CHECK_FALSE(compare_golden(model, other, expected).ok());
  CHECK_FALSE(compare_golden(model, expected, other).ok());
  other.back().pop_back();
  CHECK_FALSE(compare_golden(model, other, expected).ok());
  other.pop_back();
  CHECK_FALSE(compare_golden(model, other, expected).ok());
  CHECK_FALSE(compare_golden(model, {}, expected).ok());
}

TEST_CASE("vectors that cannot be right are refused before they are compared") {
  FakeEncoder encoder;
  encoder.not_finite_on("fox");
  CHECK_THROWS_WITH(compute_golden(encoder), "not finite");
  encoder.fail_never();
  encoder.fail_always = true;
  CHECK_THROWS_WITH(compute_golden(encoder), "device lost");
}

TEST_CASE("scores are compared as they are") {
  FakeEncoder encoder;
  auto& model = encoder.change_description();
  model.task = ModelTask::classification;
  const GoldenVectors expected = {{2.0F, 4.0F}};
  CHECK_FALSE(compare_golden(model, {{1.0F, 2.0F}}, expected).ok());
  model.task = ModelTask::embedding;
  CHECK(compare_golden(model, {{1.0F, 2.0F}}, expected).ok());
}
