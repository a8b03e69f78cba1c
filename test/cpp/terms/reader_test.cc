#include <catch2/catch.hpp>
#include <limits>

#include "terms/bytes.h"

namespace ml_worker::terms {
namespace {

using testing::bytes;
using testing::Made;

/// A reader on bytes that must be a term; `storage` keeps them.
struct Read {
  explicit Read(const std::string& body) : storage(bytes({131}) + body) {}
  Reader reader() const { return Reader(testing::scan_body(storage).value()); }
  std::string storage;
};

TEST_CASE("atoms in all four encodings are UTF-8") {
  CHECK(Read(bytes({100, 0, 1, "\xE9"})).reader().read_atom() == "\xC3\xA9");
  CHECK(Read(bytes({115, 1, "\xE9"})).reader().read_atom() == "\xC3\xA9");
  CHECK(Read(bytes({118, 0, 2, "\xC3\xA9"})).reader().read_atom() == "\xC3\xA9");
  CHECK(Read(bytes({119, 2, "\xC3\xA9"})).reader().read_atom() == "\xC3\xA9");
}

TEST_CASE("an atom with a NUL is not the atom before it") {
  CHECK(Read(bytes({119, 3, "a", 0, "b"})).reader().read_atom() == std::string("a\0b", 3));
}

TEST_CASE("integers of 64 bits are read, larger ones are left alone") {
  const auto read = [](const std::string& body) { return Read(body).reader().read_integer(); };
  CHECK(read(bytes({97, 255})) == 255);
  CHECK(read(bytes({98, 0xFF, 0xFF, 0xFF, 0xFE})) == -2);
  CHECK(read(bytes({110, 8, 0, std::string(7, '\xFF'), 0x7F})) ==
        std::numeric_limits<std::int64_t>::max());
  CHECK(read(bytes({110, 8, 1, std::string(7, '\0'), 0x80})) ==
        std::numeric_limits<std::int64_t>::min());
  CHECK(read(bytes({111, 0, 0, 0, 2, 0, 1, 1})) == 257);
  const Read huge(bytes({110, 9, 0, std::string(9, '\x01')}));
  Reader reader = huge.reader();
  CHECK_FALSE(reader.read_integer());
  CHECK(reader.type() == TermType::integer);
  CHECK(reader.read_raw().size() == 12);
}

TEST_CASE("floats are read in both forms") {
  CHECK(Read(bytes({70, 0xBF, 0xF8, std::string(6, '\0')})).reader().read_float() == -1.5);
  const Read text(bytes({99, "-1.50000000000000000000e+00", std::string(4, '\0')}));
  CHECK(text.reader().read_float() == -1.5);
}

TEST_CASE("a read of another type does not move") {
  const Read made(bytes({104, 2, 97, 5, 107, 0, 2, "hi"}));
  Reader reader = made.reader();
  CHECK_FALSE(reader.read_list());
  CHECK_FALSE(reader.read_map());
  CHECK(reader.read_tuple() == 2);
  CHECK_FALSE(reader.read_atom());
  CHECK_FALSE(reader.read_binary());
  CHECK(reader.read_integer() == 5);
  CHECK_FALSE(reader.read_nil());
  CHECK(reader.read_string() == "hi");
  CHECK(reader.at_end());
  CHECK_FALSE(reader.read_integer());
  CHECK(reader.read_raw().empty());
}

TEST_CASE("raw reading passes nested terms as a whole") {
  const Made made([](Writer& writer) {
    writer.tuple(2);
    writer.list(2);
    writer.map(1);
    writer.atom("key");
    writer.binary("value");
    writer.tuple(0);
    writer.nil();
    writer.integer(7);
  });
  Reader reader(made.term());
  REQUIRE(reader.read_tuple());
  CHECK(reader.read_raw().size() > 10);
  CHECK(reader.read_integer() == 7);
  CHECK(reader.at_end());
}

TEST_CASE("an improper list ends in another term than nil") {
  const Read made(bytes({108, 0, 0, 0, 1, 97, 1, 97, 2}));
  Reader reader = made.reader();
  CHECK(reader.read_list() == 1);
  CHECK(reader.read_integer() == 1);
  CHECK_FALSE(reader.read_nil());
  CHECK(reader.read_integer() == 2);
}

}  // namespace
}  // namespace ml_worker::terms
