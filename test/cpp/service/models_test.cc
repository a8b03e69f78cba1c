#include "service/models.h"

#include <catch2/catch.hpp>

#include "support/fake_encoder.h"

using ml_worker::LoadedModel;
using ml_worker::ModelTable;
using ml_worker::test::FakeEncoder;

namespace {

std::vector<LoadedModel> two_models() {
  return {{std::make_shared<FakeEncoder>("all-MiniLM-L6-v2")},
          {std::make_shared<FakeEncoder>("all-mpnet-base-v2")}};
}

std::string found(const ModelTable& models, const std::string& name) {
  const auto model = models.find(name);
  return model ? model->description().name : "none";
}

}  // namespace

TEST_CASE(
    "models answer to their names, to the built-in aliases and with the default organisation") {
  const ModelTable models(two_models(), {});
  CHECK(found(models, "default") == "all-MiniLM-L6-v2");
  CHECK(found(models, "large") == "all-mpnet-base-v2");
  CHECK(found(models, "all-mpnet-base-v2") == "all-mpnet-base-v2");
  CHECK(found(models, "sentence-transformers/all-mpnet-base-v2") == "all-mpnet-base-v2");
}

TEST_CASE("what is not loaded is not found") {
  const ModelTable models(two_models(), {});
  for (const char* name : {"multilingual", "", "other/all-mpnet-base-v2", "../../etc/passwd",
                           "all-mpnet-base-v2/", "ALL-MPNET-BASE-V2"}) {
    CHECK(found(models, name) == "none");
  }
}

TEST_CASE("configured aliases go before built-in ones") {
  const ModelTable models(two_models(), {{"default", "all-mpnet-base-v2"}, {"gone", "not-loaded"}});
  CHECK(found(models, "default") == "all-mpnet-base-v2");
  CHECK(models.default_model()->description().name == "all-mpnet-base-v2");
  CHECK(found(models, "gone") == "none");
  const ModelTable::Aliases expected = {{"default", "all-mpnet-base-v2"},
                                        {"large", "all-mpnet-base-v2"}};
  CHECK(models.aliases() == expected);
}

TEST_CASE("what add gives is what find finds, and is there when another call removes it") {
  ModelTable models(two_models(), {});
  const auto added = models.add({std::make_shared<FakeEncoder>("third")});
  CHECK(models.find("third") == added);
  models.remove(*added);
  CHECK(models.find("third") == nullptr);
  CHECK(added->description().name == "third");
}

TEST_CASE("a removed model is given back when the last call lets it go") {
  ModelTable models(two_models(), {});
  std::vector<std::string> freed;
  models.on_unused(
      [&](const ModelTable::Model& model) { freed.push_back(model->description().name); });
  auto held = models.find("large");
  models.remove(*held);
  CHECK(models.find("large") == nullptr);
  CHECK(freed.empty());
  held.reset();
  CHECK(freed == std::vector<std::string>{"all-mpnet-base-v2"});
  models.on_unused(nullptr);
}

TEST_CASE("names resolve through aliases, without the default organisation") {
  const ModelTable models(two_models(), {{"mine", "sentence-transformers/all-mpnet-base-v2"}});
  CHECK(models.resolve("mine") == "all-mpnet-base-v2");
  CHECK(models.resolve("sentence-transformers/x") == "x");
  CHECK(models.resolve("org/x") == "org/x");
}
