#include "terms/reply.h"

#include <catch2/catch.hpp>

#include "terms/bytes.h"

namespace ml_worker::terms {
namespace {

using testing::Made;

/// Sinks of one call each, and what they delivered.
struct Delivered {
  std::shared_ptr<ReplySink> sink(std::size_t max_bytes = kMaxReplyBytes) {
    return make_reply_sink([this](CallReply reply) { replies.push_back(std::move(reply)); },
                           max_bytes);
  }
  /// Of a sink that `make` has make its answer.
  template <typename Make>
  void answer(Make make) {
    const auto one = sink();
    make(*one);
    CHECK(replies.empty());
    one->deliver();
  }
  void embeddings(const VectorsReply& reply) {
    answer([&](ReplySink& sink) { sink.embeddings(reply); });
  }
  void prediction(const VectorsReply& reply, bool single) {
    answer([&](ReplySink& sink) { sink.prediction(reply, single); });
  }
  void token_embeddings(const TokensReply& reply) {
    answer([&](ReplySink& sink) { sink.token_embeddings(reply); });
  }
  const CallReply& only() const {
    REQUIRE(replies.size() == 1);
    return replies.front();
  }
  std::vector<CallReply> replies;
};

std::shared_ptr<const CachedVector> vector_of(std::vector<float> values) {
  auto vector = std::make_shared<CachedVector>();
  vector->values = std::move(values);
  return vector;
}

VectorsReply two_vectors() {
  VectorsReply reply;
  reply.vectors = {vector_of({0.1F}), vector_of({0.2F})};
  reply.cached = 1;
  return reply;
}

/// `make` has a sink make an answer, which is too large and not delivered.
template <typename Make>
void check_too_large(Make make, std::size_t limit) {
  Delivered delivered;
  const auto sink = delivered.sink(limit);
  try {
    make(*sink);
    FAIL("it was made");
  } catch (const ReplyError& error) {
    CHECK(error.error().kind == ErrorKind::too_large);
    const auto& reason = std::get<ValueTuple>(error.error().reason.storage()).elements;
    CHECK(reason.at(1) == atom("reply"));
    CHECK(std::get<std::int64_t>(reason.at(2).storage()) > static_cast<std::int64_t>(limit));
    CHECK(reason.at(3) == Value(limit));
  }
  CHECK(delivered.replies.empty());
}

bool at(Reader& reader, const char* atom) { return reader.read_atom() == std::string(atom); }

TEST_CASE("embeddings are a map of vectors and count") {
  Delivered delivered;
  delivered.embeddings(two_vectors());
  CHECK_FALSE(delivered.only().raised);
  const Made made(delivered.only().term);
  Reader reader(made.term());
  REQUIRE(reader.read_map() == 2);
  CHECK(at(reader, "embeddings"));
  CHECK(reader.read_list() == 2);
  CHECK(reader.read_list() == 1);
  CHECK(reader.read_float() == 0.1);
  CHECK(reader.read_nil());
  CHECK(reader.read_list() == 1);
  CHECK(reader.read_float() == 0.2);
  CHECK(reader.read_nil());
  CHECK(reader.read_nil());
  CHECK(at(reader, "cached"));
  CHECK(reader.read_integer() == 1);
  CHECK(reader.at_end());
}

TEST_CASE("no texts are an empty list") {
  Delivered delivered;
  delivered.embeddings({});
  const Made made(delivered.only().term);
  Reader reader(made.term());
  REQUIRE(reader.read_map() == 2);
  CHECK(at(reader, "embeddings"));
  CHECK(reader.read_nil());
}

TEST_CASE("what was asked for besides stands in the map") {
  VectorsReply reply = two_vectors();
  reply.format = VectorFormat::json;
  reply.usage = {{.used = 3, .given = 3},
                 {.used = 256, .given = 999, .given_is_lower_bound = true}};
  reply.fingerprint = {"id", "float32/cpu"};
  reply.timings = {.queue = std::chrono::microseconds(7),
                   .tokenize = std::chrono::microseconds(8),
                   .compute = std::chrono::microseconds(9)};
  Delivered delivered;
  delivered.embeddings(reply);
  const Made made(delivered.only().term);
  Reader reader(made.term());
  REQUIRE(reader.read_map() == 6);
  CHECK(at(reader, "embeddings"));
  CHECK(reader.read_list() == 2);
  CHECK(reader.read_binary() == "[0.1]");
  CHECK(reader.read_binary() == "[0.2]");
  CHECK(reader.read_nil());
  CHECK(at(reader, "cached"));
  CHECK(reader.read_integer() == 1);
  CHECK(at(reader, "tokens"));
  CHECK(reader.read_list() == 2);
  CHECK(reader.read_map() == 2);
  CHECK(at(reader, "used"));
  CHECK(reader.read_integer() == 3);
  CHECK(at(reader, "given"));
  CHECK(reader.read_integer() == 3);
  CHECK(reader.read_map() == 2);
  CHECK(at(reader, "used"));
  CHECK(reader.read_integer() == 256);
  CHECK(at(reader, "given"));
  CHECK(reader.read_tuple() == 2);
  CHECK(at(reader, "at_least"));
  CHECK(reader.read_integer() == 999);
  CHECK(reader.read_nil());
  CHECK(at(reader, "model_id"));
  CHECK(reader.read_binary() == "id");
  CHECK(at(reader, "numerics"));
  CHECK(reader.read_binary() == "float32/cpu");
  CHECK(at(reader, "timings"));
  CHECK(reader.read_map() == 4);
  for (const auto& [key, microseconds] : {std::pair("queue", 7), {"tokenize", 8}, {"compute", 9}}) {
    CHECK(at(reader, key));
    CHECK(reader.read_integer() == microseconds);
  }
  CHECK(at(reader, "reply"));
  CHECK(reader.read_integer() >= 0);
  CHECK(reader.at_end());
}

TEST_CASE("predictions are bare") {
  Delivered single;
  single.prediction(two_vectors(), true);
  const Made one(single.only().term);
  Reader reader(one.term());
  CHECK(reader.read_list() == 1);
  CHECK(reader.read_float() == 0.1);

  Delivered several;
  several.prediction(two_vectors(), false);
  const Made two(several.only().term);
  Reader list(two.term());
  CHECK(list.read_list() == 2);
  CHECK(list.read_list() == 1);

  Delivered none;
  none.prediction({}, false);
  CHECK(none.only().term == Bytes{106});
}

TEST_CASE("vectors of one number are numbers, in the format asked for") {
  VectorsReply reply = two_vectors();
  reply.scalars = true;
  Delivered single;
  single.prediction(reply, true);
  CHECK(Reader(Made(single.only().term).term()).read_float() == 0.1);

  Delivered several;
  several.prediction(reply, false);
  const Made two(several.only().term);
  Reader list(two.term());
  CHECK(list.read_list() == 2);
  CHECK(list.read_float() == 0.1);
  CHECK(list.read_float() == 0.2);
  CHECK(list.read_nil());

  reply.format = VectorFormat::json;
  Delivered json;
  json.prediction(reply, true);
  CHECK(Reader(Made(json.only().term).term()).read_binary() == "0.1");
  reply.format = VectorFormat::binary;
  Delivered binary;
  binary.prediction(reply, true);
  CHECK(Reader(Made(binary.only().term).term()).read_binary()->size() == 4);
}

TEST_CASE("token vectors are a list per text of a vector per token") {
  Delivered delivered;
  delivered.token_embeddings({{{0.1F, 0.2F, 0.3F, 0.4F}, {}}, 2, VectorFormat::list});
  const Made made(delivered.only().term);
  Reader reader(made.term());
  CHECK(reader.read_list() == 2);
  CHECK(reader.read_list() == 2);
  CHECK(reader.read_list() == 2);
  CHECK(reader.read_float() == 0.1);
  CHECK(reader.read_float() == 0.2);
  CHECK(reader.read_nil());
  CHECK(reader.read_list() == 2);
  reader.read_raw();
  reader.read_raw();
  CHECK(reader.read_nil());
  CHECK(reader.read_nil());
  CHECK(reader.read_nil());
  CHECK(reader.read_nil());
  CHECK(reader.at_end());

  // In a buffer of the right size from the start.
  CHECK(delivered.only().term.capacity() == delivered.only().term.size());

  const TokensReply four = {{{0.1F, 0.2F, 0.3F, 0.4F}}, 2, VectorFormat::list};
  check_too_large([&](ReplySink& sink) { sink.token_embeddings(four); }, 30);
}

TEST_CASE("values are returned, failures are raised with their reason") {
  Delivered value;
  value.answer([](ReplySink& sink) { sink.value(atom("ok")); });
  CHECK_FALSE(value.only().raised);
  CHECK(Reader(Made(value.only().term).term()).read_atom() == "ok");

  Delivered failure;
  failure.answer([](ReplySink& sink) { sink.failure(errors::too_long(2, 300, true, 256)); });
  CHECK(failure.only().raised);
  const Made made(failure.only().term);
  Reader reader(made.term());
  CHECK(reader.read_tuple() == 4);
  CHECK(at(reader, "too_long"));
  CHECK(reader.read_integer() == 2);
  CHECK(reader.read_tuple() == 2);
  CHECK(at(reader, "at_least"));
  CHECK(reader.read_integer() == 300);
  CHECK(reader.read_integer() == 256);
}

TEST_CASE("a reply over the limit is an error, and nothing of it is made") {
  VectorsReply reply;
  // 100,000 entries that share one vector: 3.7 GB of floats if they were written.
  reply.vectors.assign(100000, vector_of(std::vector<float>(4096, 0.1F)));
  check_too_large([&](ReplySink& sink) { sink.embeddings(reply); }, kMaxReplyBytes);
}

TEST_CASE("token vectors over the limit are an error, and nothing of them is made") {
  TokensReply reply{{std::vector<float>(1000, 0.1F)}, 10, VectorFormat::json};
  // The JSON would be shorter than estimated, so that only the estimate can refuse it.
  check_too_large([&](ReplySink& sink) { sink.token_embeddings(reply); }, 10000);
}

TEST_CASE("JSON that turns out longer than estimated keeps to the limit too") {
  VectorsReply reply;
  reply.vectors.assign(100, vector_of(std::vector<float>(100, -1.17549435e-38F)));
  reply.format = VectorFormat::json;
  check_too_large([&](ReplySink& sink) { sink.prediction(reply, false); }, 135000);
}

}  // namespace
}  // namespace ml_worker::terms
