#include "distribution/trace_token.h"

#include <catch2/catch.hpp>

#include "distribution/bytes.h"

namespace ml_worker::distribution {
namespace {

using test::atom;
using test::integer;
using test::tuple;

const Bytes kTheirs = test::pid("t@host", 1);
const Bytes kOurs = test::pid("worker1@host", 2);

std::optional<TraceToken> parsed(const Bytes& term) {
  ByteView input(term);
  const auto scanned = terms::scan_bare(input);
  REQUIRE(scanned);
  return TraceToken::parse(*scanned);
}

TEST_CASE("each message has the serial after the last one, and that beside it") {
  const Bytes label = tuple({atom("any"), integer(300)});
  auto token = parsed(tuple({integer(3), label, integer(300), kTheirs, integer(1)}));
  REQUIRE(token);
  CHECK(token->next(kOurs) == tuple({integer(3), label, integer(301), kOurs, integer(300)}));
  CHECK(token->next(kOurs) == tuple({integer(3), label, integer(302), kOurs, integer(301)}));
}

TEST_CASE("what is no token, or a long one, is none") {
  Bytes label;
  terms::Writer(label).binary(std::string(TraceToken::kMaxBytes, 'x'));
  Bytes huge;
  terms::Writer(huge).integer(std::int64_t{1} << 62U);
  for (const Bytes& term :
       {atom("x"), tuple({}), tuple({integer(1), integer(2), integer(3), kTheirs}),
        tuple({atom("x"), integer(2), integer(3), kTheirs, integer(4)}),
        tuple({integer(1), integer(2), atom("x"), kTheirs, integer(4)}),
        tuple({integer(1), integer(2), integer(-1), kTheirs, integer(4)}),
        tuple({integer(1), integer(2), huge, kTheirs, integer(4)}),
        tuple({integer(1), label, integer(3), kTheirs, integer(4)})}) {
    CHECK_FALSE(parsed(term));
  }
}

}  // namespace
}  // namespace ml_worker::distribution
