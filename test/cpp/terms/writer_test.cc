#include <catch2/catch.hpp>
#include <limits>

#include "terms/bytes.h"

namespace ml_worker::terms {
namespace {

using testing::bytes;
using testing::Made;

TEST_CASE("terms have the bytes of the External Term Format") {
  const auto written = [](const std::function<void(Writer&)>& write) {
    return Made(write).text().substr(1);
  };
  CHECK(written([](Writer& w) { w.atom("ok"); }) == bytes({119, 2, "ok"}));
  CHECK(written([](Writer& w) { w.integer(5); }) == bytes({97, 5}));
  CHECK(written([](Writer& w) { w.integer(-1); }) == bytes({98, 0xFF, 0xFF, 0xFF, 0xFF}));
  CHECK(written([](Writer& w) { w.floating(1.0); }) ==
        bytes({70, 0x3F, 0xF0, std::string(6, '\0')}));
  CHECK(written([](Writer& w) { w.binary("abc"); }) == bytes({109, 0, 0, 0, 3, "abc"}));
  CHECK(written([](Writer& w) { w.tuple(0); }) == bytes({104, 0}));
  CHECK(written([](Writer& w) { w.nil(); }) == bytes({106}));
  CHECK(written([](Writer& w) { w.map(0); }) == bytes({116, 0, 0, 0, 0}));
}

TEST_CASE("integers of every size come back") {
  using Limits = std::numeric_limits<std::int64_t>;
  for (const std::int64_t number : {std::int64_t{0}, std::int64_t{255}, std::int64_t{256},
                                    std::int64_t{-1}, std::int64_t{1} << 27, std::int64_t{1} << 31,
                                    std::int64_t{1} << 40, Limits::max(), Limits::min()}) {
    CAPTURE(number);
    const Made made([&](Writer& writer) { writer.integer(number); });
    CHECK(Reader(made.term()).read_integer() == number);
  }
}

TEST_CASE("long atoms and binaries come back") {
  std::string name;
  for (int i = 0; i < 255; ++i) name += "\xC3\xA9";
  const Made atom([&](Writer& writer) { writer.atom(name); });
  CHECK(Reader(atom.term()).read_atom() == name);
  const std::string text(100000, 'x');
  const Made binary([&](Writer& writer) { writer.binary(text); });
  CHECK(Reader(binary.term()).read_binary() == text);
}

TEST_CASE("a pid has all its bits") {
  const Made made([](Writer& w) { w.pid("w@h", 0xFFFFFFFF, 0x80000001, 0xDEADBEEF); });
  CHECK(made.text() == bytes({131, 88, 119, 3, "w@h", std::string(4, '\xFF'), 0x80, 0, 0, 1, 0xDE,
                              0xAD, 0xBE, 0xEF}));
}

TEST_CASE("a value is written with its atoms, texts and containers") {
  const Value value = map({{"list", ValueList{1, 2.5}},
                           {"empty", ValueList{}},
                           {"text", "h\xC3\xA9"},
                           {"tuple", tuple({atom("too_large"), true})}});
  const Made made([&](Writer& writer) { writer.value(value); });
  Reader reader(made.term());
  REQUIRE(reader.read_map() == 4);
  CHECK(reader.read_atom() == "list");
  CHECK(reader.read_list() == 2);
  CHECK(reader.read_integer() == 1);
  CHECK(reader.read_float() == 2.5);
  CHECK(reader.read_nil());
  CHECK(reader.read_atom() == "empty");
  CHECK(reader.read_nil());
  CHECK(reader.read_atom() == "text");
  CHECK(reader.read_binary() == "h\xC3\xA9");
  CHECK(reader.read_atom() == "tuple");
  CHECK(reader.read_tuple() == 2);
  CHECK(reader.read_atom() == "too_large");
  CHECK(reader.read_atom() == "true");
  CHECK(reader.at_end());
}

TEST_CASE("a number that no VM can read is never written") {
  const Made made(
      [](Writer& writer) { writer.value(Value(std::numeric_limits<double>::infinity())); });
  CHECK(Reader(made.term()).read_atom() == "undefined");
}

}  // namespace
}  // namespace ml_worker::terms
