#include "ml_worker/log.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "support/standard_error.h"

namespace logging = ml_worker::log;
using ml_worker::test::standard_error_of;

TEST_CASE("a JSON line is one valid object whatever the fields hold") {
  logging::configure(logging::Format::json, logging::Level::info);
  const std::string line = standard_error_of([] {
    logging::info("a peer came", {{"peer", "x\xFF\n\"y"}, {"port", "4369"}});
  });
  logging::configure(logging::Format::text, logging::Level::info);
  REQUIRE(line.find('\n') == line.size() - 1);
  const auto object = nlohmann::json::parse(line);
  CHECK(object["level"] == "info");
  CHECK(object["message"] == "a peer came");
  CHECK(object["peer"] == "x\xEF\xBF\xBD\n\"y");
  CHECK(object["port"] == "4369");
  CHECK(object["time"].get<std::string>().size() == 24);
}

TEST_CASE("a text line is one line, and no value can forge a second one") {
  logging::configure(logging::Format::text, logging::Level::info);
  const std::string line = standard_error_of([] {
    logging::warning("odd name", {{"name", "a\nb \"c\""}, {"plain", "x{}"}, {"empty", ""}});
  });
  CHECK(line.find("warning odd name name=\"a\\x0ab \\\"c\\\"\" plain=x{} empty=\"\"\n") !=
        std::string::npos);
  CHECK(line.find('\n') == line.size() - 1);
}

TEST_CASE("lines below the threshold are dropped") {
  logging::configure(logging::Format::text, logging::Level::warning);
  const std::string written = standard_error_of([] {
    logging::debug("one");
    logging::info("two");
    logging::error("three");
  });
  logging::configure(logging::Format::text, logging::Level::info);
  CHECK(written.find("two") == std::string::npos);
  CHECK(written.find("three") != std::string::npos);
}

TEST_CASE("bytes from a peer are escaped and cut") {
  CHECK(logging::printable("abc") == "abc");
  CHECK(logging::printable("a\n\xFF\\") == "a\\x0a\\xff\\x5c");
  CHECK(logging::printable("abcdef", 3) == "abc...");
}
