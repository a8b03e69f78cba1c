#include <catch2/catch.hpp>
#include <random>

#include "terms/bytes.h"

namespace ml_worker::terms {
namespace {

using testing::bytes;
using testing::scan_body;
using testing::view;

const std::string kZeros8(8, '\0');
const std::string kAtom = bytes({119, 1, "a"});
const std::string kPid = bytes({88}) + kAtom + std::string(12, '\1');

/// One term of every tag that a node of OTP 25 or later may send with our flags, and of the older
/// forms that libei still reads.
std::vector<std::string> well_formed() {
  const std::string fun_body = bytes({1}) + std::string(16, 'u') +
                               bytes({std::string(3, '\0'), 7, std::string(3, '\0'), 1}) + kAtom +
                               bytes({97, 3, 98, 0, 0, 0, 4}) + kPid + bytes({97, 9});
  return {
      bytes({97, 255}),
      bytes({98, 0xFF, 0xFF, 0xFF, 0xFF}),
      bytes({99, "1.50000000000000000000e+00", std::string(5, '\0')}),
      bytes({70, 0x3F, 0xF0, std::string(6, '\0')}),
      bytes({110, 8, 1, std::string(8, '\x7F')}),
      bytes({111, 0, 0, 0, 1, 0, 5}),
      bytes({100, 0, 2, "\xE9x"}),
      bytes({115, 1, "\xE9"}),
      bytes({118, 0, 2, "\xC3\xA9"}),
      bytes({119, 2, "\xC3\xA9"}),
      bytes({119, 0}),
      bytes({103}) + kAtom + std::string(9, '\0'),
      kPid,
      bytes({102}) + kAtom + std::string(5, '\0'),
      bytes({89}) + kAtom + kZeros8,
      bytes({120}) + kAtom + std::string(12, '\0'),
      bytes({101}) + kAtom + std::string(5, '\0'),
      bytes({114, 0, 3}) + kAtom + std::string(13, '\0'),
      bytes({90, 0, 5}) + kAtom + std::string(24, '\0'),
      bytes({104, 0}),
      bytes({104, 2, 106, 106}),
      bytes({105, 0, 0, 0, 1, 97, 1}),
      bytes({116, 0, 0, 0, 1, 97, 1, 97, 2}),
      bytes({106}),
      bytes({107, 0, 2, "hi"}),
      bytes({108, 0, 0, 0, 1, 97, 1, 106}),
      bytes({108, 0, 0, 0, 1, 97, 1, 97, 2}),
      bytes({109, 0, 0, 0, 3, "abc"}),
      bytes({77, 0, 0, 0, 1, 3, 0xE0}),
      bytes({77, 0, 0, 0, 0, 0}),
      bytes({113}) + kAtom + kAtom + bytes({97, 2}),
      bytes({112, 0, 0, 0, static_cast<int>(fun_body.size() + 4)}) + fun_body,
  };
}

std::string versioned(const std::string& body) { return bytes({131}) + body; }

bool accepted(const std::string& body) { return scan_body(versioned(body)).has_value(); }

TEST_CASE("every tag that a node sends is read to its end") {
  for (const std::string& body : well_formed()) {
    CAPTURE(static_cast<int>(static_cast<unsigned char>(body.front())));
    const std::string input = versioned(body) + "rest";
    ByteView rest = view(input);
    const auto term = scan(rest);
    REQUIRE(term);
    CHECK(term->bytes().size() == body.size());
    CHECK(rest.size() == 4);
  }
}

TEST_CASE("a term cut short anywhere is refused, and the input stays where it was") {
  for (const std::string& body : well_formed()) {
    for (std::size_t size = 0; size <= body.size(); ++size) {
      const std::string cut = versioned(body).substr(0, size);
      ByteView rest = view(cut);
      CAPTURE(static_cast<int>(static_cast<unsigned char>(body.front())), size);
      CHECK_FALSE(scan(rest));
      CHECK(rest.size() == size);
    }
  }
}

TEST_CASE("lengths that claim more than is there are refused") {
  for (const int tag : {105, 108, 109, 116, 111, 77, 112}) {
    for (const char* length : {"\x7F\xFF\xFF\xFF", "\x80\x01\x01\x01", "\xFF\xFF\xFF\xFF"}) {
      CAPTURE(tag);
      CHECK_FALSE(accepted(bytes({tag, length, std::string(40, 'j')})));
    }
  }
}

TEST_CASE("unreadable tags are refused") {
  // Compressed, atom cache reference, native record, local, old fun, unknown.
  for (const int tag : {80, 82, 67, 121, 117, 0, 255}) {
    CAPTURE(tag);
    CHECK_FALSE(accepted(bytes({tag}) + std::string(64, '\0')));
  }
  CHECK_FALSE(scan_body(bytes({130, 106})));
  CHECK_FALSE(scan_body(""));
}

TEST_CASE("malformed bodies are refused") {
  CHECK_FALSE(accepted(bytes({119, 2, "\xC3\x28"})));                       // atom: not UTF-8
  CHECK_FALSE(accepted(bytes({119, 2, "\xC0\x80"})));                       // atom: overlong
  CHECK_FALSE(accepted(bytes({100, 1, 0, std::string(256, 'a')})));         // atom: too long
  CHECK_FALSE(accepted(bytes({118, 1, 0, std::string(256, 'a')})));         // the same in UTF-8
  CHECK_FALSE(accepted(bytes({70, 0x7F, 0xF8, std::string(6, '\0')})));     // NaN
  CHECK_FALSE(accepted(bytes({70, 0xFF, 0xF0, std::string(6, '\0')})));     // -infinity
  CHECK_FALSE(accepted(bytes({99, std::string(31, '1')})));                 // text without end
  CHECK_FALSE(accepted(bytes({99, "inf", std::string(28, '\0')})));         // not finite
  CHECK_FALSE(accepted(bytes({99, "1,5", std::string(28, '\0')})));         // not a number
  CHECK_FALSE(accepted(bytes({110, 1, 2, 1})));                             // sign
  CHECK_FALSE(accepted(bytes({77, 0, 0, 0, 1, 9, 0})));                     // bits of a byte
  CHECK_FALSE(accepted(bytes({77, 0, 0, 0, 0, 1})));                        // bits of no byte
  CHECK_FALSE(accepted(bytes({90, 0, 0}) + kAtom + std::string(4, '\0')));  // no words
  CHECK_FALSE(accepted(bytes({90, 0, 6}) + kAtom + std::string(28, '\0')));
  CHECK_FALSE(accepted(bytes({88, 97, 1, std::string(12, '\0')})));  // node is no atom
  CHECK_FALSE(accepted(bytes({113}) + kAtom + kAtom + kAtom));       // arity is no integer
}

TEST_CASE("255 code points are an atom, whatever their bytes") {
  std::string name;
  for (int i = 0; i < 255; ++i) name += "\xE2\x82\xAC";
  CHECK(accepted(bytes({118, 2, 253}) + name));
}

TEST_CASE("a fun whose size lies is refused") {
  std::string fun = well_formed().back();
  REQUIRE(accepted(fun));
  fun[4] = static_cast<char>(fun[4] + 1);
  CHECK_FALSE(accepted(fun + "j"));
  fun[4] = static_cast<char>(fun[4] - 2);
  CHECK_FALSE(accepted(fun));
}

TEST_CASE("nesting is bounded without recursion") {
  const auto nested = [](std::size_t depth) {
    std::string body;
    for (std::size_t i = 0; i < depth; ++i) body += bytes({104, 1});
    return body + bytes({106});
  };
  CHECK(accepted(nested(256)));
  CHECK_FALSE(accepted(nested(257)));
  CHECK_FALSE(accepted(nested(5000000)));
}

TEST_CASE("the number of terms is bounded") {
  const std::string list = versioned(bytes({108, 0, 0, 0, 100, std::string(101, 'j')}));
  ByteView input = view(list);
  CHECK_FALSE(scan(input, ScanLimits{.elements = 101}));
  CHECK(scan(input, ScanLimits{.elements = 102}));
}

/// Reads a term through to its end in the way in which the parsers do.
std::size_t read_through(Reader reader) {
  std::size_t terms = 0;
  for (; !reader.at_end(); ++terms) {
    const bool entered = reader.read_list() || reader.read_tuple() || reader.read_map();
    if (entered) continue;
    if (reader.read_atom() || reader.read_integer() || reader.read_float()) continue;
    if (reader.read_binary() || reader.read_string() || reader.read_nil()) continue;
    reader.read_raw();
  }
  return terms;
}

TEST_CASE("whatever bytes pass can be read through; nothing crashes on the others") {
  std::mt19937 random(7);
  std::string seed;
  const auto bodies = well_formed();
  for (const std::string& body : bodies) seed += body;
  seed = versioned(bytes({104, static_cast<int>(bodies.size())}) + seed);
  REQUIRE(scan_body(seed));
  std::size_t passed = 0;
  for (int round = 0; round < 50000; ++round) {
    std::string mutated = seed;
    for (int i = 0; i < 3; ++i) mutated[random() % mutated.size()] = static_cast<char>(random());
    // A copy of exactly this size on the heap, so that AddressSanitizer sees any step past it.
    const Bytes exact(mutated.begin(), mutated.end());
    ByteView input(exact);
    if (const auto term = scan(input)) {
      ++passed;
      CHECK(read_through(Reader(*term)) >= 1);
    }
  }
  CHECK(passed > 1000);
}

}  // namespace
}  // namespace ml_worker::terms
