#include "distribution/stack_trace.h"

#include <catch2/catch.hpp>
#include <string>

using namespace ml_worker;
using namespace ml_worker::distribution;

namespace {

/// The list `[Text]`, with its version byte; the caller keeps the bytes.
terms::Bytes one_text(const std::string& text) {
  terms::Bytes bytes;
  terms::Writer out(bytes);
  out.version();
  out.list(1);
  out.binary(text);
  out.nil();
  return bytes;
}

terms::ScannedTerm scanned(const terms::Bytes& bytes) {
  terms::ByteView rest(bytes);
  return *terms::scan(rest);
}

/// `[{m, f, Third, []}]`
terms::Bytes expected(const std::function<void(terms::Writer&)>& third) {
  terms::Bytes bytes;
  terms::Writer out(bytes);
  out.list(1);
  out.tuple(4);
  out.atom("m");
  out.atom("f");
  third(out);
  out.nil();
  out.nil();
  return bytes;
}

const auto arity_one = [](terms::Writer& out) { out.integer(1); };

}  // namespace

TEST_CASE("a stack trace gives the arity, or small arguments where they are asked for") {
  const terms::Bytes bytes = one_text("small");
  const auto arguments = scanned(bytes);
  CHECK(stack_trace("m", "f", arguments, false) == expected(arity_one));
  CHECK(stack_trace("m", "f", arguments, true) ==
        expected([&](terms::Writer& out) { out.raw(arguments.bytes()); }));
}

TEST_CASE("arguments of a kilobyte and more are not echoed") {
  // LIST_EXT 5, BINARY_EXT 5 and NIL 1 bytes around the text.
  const terms::Bytes below = one_text(std::string(1023 - 11, 'x'));
  const terms::Bytes at_limit = one_text(std::string(1024 - 11, 'x'));
  CHECK(stack_trace("m", "f", scanned(below), true) != expected(arity_one));
  CHECK(stack_trace("m", "f", scanned(at_limit), true) == expected(arity_one));
}

TEST_CASE("only a proper list has a length") {
  terms::Bytes improper;
  terms::Writer out(improper);
  out.version();
  out.list(1);
  out.integer(1);
  out.integer(2);
  const terms::Bytes proper = one_text("x");
  CHECK(list_length(scanned(proper)) == std::size_t{1});
  CHECK_FALSE(list_length(scanned(improper)).has_value());
  CHECK(stack_trace("m", "f", scanned(improper), false) ==
        expected([](terms::Writer& third) { third.integer(0); }));
}
