#include "model/find.h"

#include <catch2/catch.hpp>

#include "ml_worker/model.h"
#include "support/temporary_directory.h"

using namespace ml_worker;
using namespace ml_worker::testing;
namespace fs = std::filesystem;

namespace {

/// A hub cache with one model, its files links into blobs/.
void write_cached(const TemporaryDirectory& root, const std::string& folder) {
  root.write(folder + "/blobs/abc", "{}");
  root.write(folder + "/refs/main", "0123abcd");
  root.write(folder + "/refs/old", "ffff");
  fs::create_directories(root.path() / folder / "snapshots" / "ffff");
  fs::create_directories(root.path() / folder / "snapshots" / "0123abcd");
  fs::create_symlink("../../blobs/abc",
                     root.path() / folder / "snapshots" / "0123abcd" / "config.json");
}

}  // namespace

TEST_CASE("model names have one form") {
  for (const char* name : {"a", "all-MiniLM-L6-v2", "BAAI/bge-small-en-v1.5", "0_x.y"}) {
    CHECK(is_model_name(name));
  }
  for (const char* name : {"", "/", "a/", "/a", "a/b/c", ".", "..", "../../etc/passwd", ".hidden",
                           "a b", "a/../b", "-a", "a\n", "\u00e9", "a/.b", "a//b"}) {
    CHECK_FALSE(is_model_name(name));
  }
  CHECK(is_model_name(std::string(96, 'a')));
  CHECK_FALSE(is_model_name(std::string(97, 'a')));
  CHECK_FALSE(is_model_name(std::string_view("a\0b", 3)));
}

TEST_CASE("a plain folder is found by its name, with the default organisation or without") {
  const TemporaryDirectory root;
  root.write("mini/config.json", "{}");
  root.write("not-a-model/readme", "");
  CHECK(find_model({root.path()}, "mini") == root.path() / "mini");
  CHECK(find_model({root.path()}, "sentence-transformers/mini") == root.path() / "mini");
  CHECK(find_model({root.path()}, "other/mini").empty());
  CHECK(find_model({root.path()}, "not-a-model").empty());
  CHECK(find_model({root.path()}, "min").empty());
  CHECK(list_models({root.path()}) == std::vector<std::string>{"mini"});
}

TEST_CASE("the first root that has it counts, roots that are not there do no harm") {
  const TemporaryDirectory one;
  const TemporaryDirectory two;
  one.write("a/config.json", "{}");
  two.write("a/config.json", "{}");
  two.write("b/modules.json", "[]");
  const std::vector<fs::path> roots = {"/does/not/exist", one.path(), two.path()};
  CHECK(find_model(roots, "a") == one.path() / "a");
  CHECK(find_model(roots, "b") == two.path() / "b");
  CHECK(list_models(roots) == std::vector<std::string>{"a", "b"});
}

TEST_CASE("names that are paths find nothing") {
  const TemporaryDirectory root;
  root.write("in/side/config.json", "{}");
  root.write("config.json", "{}");
  for (const char* name : {"../../etc/passwd", "..", ".", "in/side", "/etc", "in/../in/side", ""}) {
    CHECK(find_model({root.path() / "in", root.path()}, name).empty());
  }
}

TEST_CASE("symlinks stay inside the root") {
  const TemporaryDirectory outside;
  outside.write("model/config.json", "{}");
  outside.write("secret", "x");
  const TemporaryDirectory root;
  root.write("good/config.json", "{}");
  fs::create_directory_symlink(root.path() / "good", root.path() / "alias");
  fs::create_directory_symlink(outside.path() / "model", root.path() / "escape");
  root.write("leak/config.json", "{}");
  fs::create_symlink(outside.path() / "secret", root.path() / "leak" / "vocab.txt");
  root.write("dangling/config.json", "{}");
  fs::create_symlink("nowhere", root.path() / "dangling" / "vocab.txt");
  CHECK(find_model({root.path()}, "alias") == root.path() / "alias");
  CHECK(find_model({root.path()}, "escape").empty());
  CHECK(find_model({root.path()}, "leak").empty());
  CHECK(find_model({root.path()}, "dangling").empty());
  CHECK(list_models({root.path()}) == std::vector<std::string>{"alias", "good"});
}

TEST_CASE("a root may itself be a symlink") {
  const TemporaryDirectory real;
  real.write("m/config.json", "{}");
  const TemporaryDirectory other;
  fs::create_directory_symlink(real.path(), other.path() / "models");
  CHECK(find_model({other.path() / "models"}, "m") == other.path() / "models" / "m");
}

TEST_CASE("the hub's cache is read by refs/main") {
  const TemporaryDirectory root;
  write_cached(root, "models--sentence-transformers--mini");
  write_cached(root, "models--BAAI--bge");
  const fs::path snapshot =
      root.path() / "models--sentence-transformers--mini" / "snapshots" / "0123abcd";
  CHECK(find_model({root.path()}, "mini") == snapshot);
  CHECK(find_model({root.path()}, "sentence-transformers/mini") == snapshot);
  CHECK(find_model({root.path()}, "bge").empty());
  CHECK_FALSE(find_model({root.path()}, "BAAI/bge").empty());
  CHECK(list_models({root.path()}) == std::vector<std::string>{"BAAI/bge", "mini"});
  CHECK(model_name_of(snapshot) == "mini");
  CHECK(model_name_of(find_model({root.path()}, "BAAI/bge")) == "BAAI/bge");
}

TEST_CASE("refs/main that leads elsewhere finds nothing") {
  const TemporaryDirectory root;
  write_cached(root, "models--org--m");
  for (const char* revision : {"", "..", "../../models--org--m", "none"}) {
    root.write("models--org--m/refs/main", revision);
    CHECK(find_model({root.path()}, "org/m").empty());
  }
}

TEST_CASE("a model is called as its folder") {
  CHECK(model_name_of("/models/all-MiniLM-L6-v2") == "all-MiniLM-L6-v2");
  CHECK(model_name_of("/models/all-MiniLM-L6-v2/") == "all-MiniLM-L6-v2");
}
