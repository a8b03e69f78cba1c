#include "terms/reply.h"

#include <chrono>
#include <utility>

#include "terms/vectors.h"

namespace ml_worker::terms {
namespace {

using std::chrono::microseconds;

/// More than the keys of a reply need, and than one element of its `tokens` does.
constexpr std::size_t kKeysBytes = 1024;
constexpr std::size_t kUsageBytes = 64;

void check_size(std::size_t got, std::size_t limit) {
  if (got > limit) throw ReplyError(errors::too_large("reply", got, limit));
}

void write_usage(const std::vector<TokenUsage>& usage, Writer& writer) {
  if (!usage.empty()) writer.list(usage.size());
  for (const TokenUsage& text : usage) {
    const Value given =
        text.given_is_lower_bound ? tuple({atom("at_least"), text.given}) : Value(text.given);
    writer.value(map({{"used", text.used}, {"given", given}}));
  }
  writer.nil();
}

std::int64_t count(microseconds time) { return static_cast<std::int64_t>(time.count()); }

void write_timings(const CallTimings& timings, microseconds reply, Writer& writer) {
  writer.value(map({{"queue", count(timings.queue)},
                    {"tokenize", count(timings.tokenize)},
                    {"compute", count(timings.compute)},
                    {"reply", count(reply)}}));
}

std::size_t key_count(const VectorsReply& reply) {
  return 2 + (reply.usage ? 1 : 0) + (reply.timings ? 1 : 0) + (reply.fingerprint ? 2 : 0);
}

/// What stands in the map after the embeddings. `start`: when the encoding of the reply began.
void write_extras(const VectorsReply& reply, Clock::time_point start, Writer& writer) {
  writer.atom("cached");
  writer.value(reply.cached);
  if (reply.usage) {
    writer.atom("tokens");
    write_usage(*reply.usage, writer);
  }
  if (reply.fingerprint) {
    writer.atom("model_id");
    writer.binary(reply.fingerprint->model_id);
    writer.atom("numerics");
    writer.binary(reply.fingerprint->numerics);
  }
  if (reply.timings) {
    writer.atom("timings");
    const auto spent = std::chrono::duration_cast<microseconds>(Clock::now() - start);
    write_timings(*reply.timings, spent, writer);
  }
}

CallReply embeddings_term(const VectorsReply& reply, std::size_t size, std::size_t max_bytes) {
  const auto start = Clock::now();
  CallReply result{.raised = false, .term = buffer_for(size)};
  Writer writer(result.term);
  writer.map(key_count(reply));
  writer.atom("embeddings");
  write_vectors(reply.vectors, reply.format, max_bytes, result.term);
  write_extras(reply, start, writer);
  return result;
}

CallReply prediction_term(const VectorsReply& reply, bool single, std::size_t size,
                          std::size_t max_bytes) {
  CallReply result{.raised = false, .term = buffer_for(size)};
  const bool bare = single && !reply.vectors.empty();
  if (bare && reply.scalars) {
    write_scalar(reply.vectors.front()->values.front(), reply.format, result.term);
  } else if (reply.scalars) {
    write_scalars(reply.vectors, reply.format, result.term);
  } else if (bare) {
    write_vector(*reply.vectors.front(), reply.format, result.term);
  } else {
    write_vectors(reply.vectors, reply.format, max_bytes, result.term);
  }
  return result;
}

class TermSink : public ReplySink {
 public:
  TermSink(std::function<void(CallReply)> deliver, std::size_t max_bytes)
      : deliver_(std::move(deliver)), max_bytes_(max_bytes) {}

  void embeddings(const VectorsReply& reply) override {
    make(size_of(reply),
         [&](std::size_t size) { return embeddings_term(reply, size, max_bytes_); });
  }

  void prediction(const VectorsReply& reply, bool single) override {
    make(size_of(reply),
         [&](std::size_t size) { return prediction_term(reply, single, size, max_bytes_); });
  }

  void token_embeddings(const TokensReply& reply) override {
    make(token_vectors_size(reply), [&](std::size_t size) {
      CallReply result{.raised = false, .term = buffer_for(size)};
      write_token_vectors(reply, max_bytes_, result.term);
      return result;
    });
  }

  void value(const Value& value) override { reply_ = term_of(value, false); }
  void failure(const Error& error) override { reply_ = term_of(error.reason, true); }
  void deliver() override { deliver_(std::move(reply_)); }

 private:
  static std::size_t size_of(const VectorsReply& reply) {
    const std::size_t usage = reply.usage ? reply.usage->size() * kUsageBytes : 0;
    return vectors_size(reply.vectors, reply.format) + usage + kKeysBytes;
  }

  static CallReply term_of(const Value& value, bool raised) {
    CallReply reply{.raised = raised, .term = {}};
    Writer(reply.term).value(value);
    return reply;
  }

  /// Asks `write` for a term of about `size` bytes only where that can be sent.
  template <typename Write>
  void make(std::size_t size, Write write) {
    check_size(size, max_bytes_);
    CallReply reply = write(size);
    check_size(reply.term.size(), max_bytes_);
    reply_ = std::move(reply);
  }

  std::function<void(CallReply)> deliver_;
  std::size_t max_bytes_;
  CallReply reply_;
};

}  // namespace

std::shared_ptr<ReplySink> make_reply_sink(std::function<void(CallReply)> deliver,
                                           std::size_t max_bytes) {
  return std::make_shared<TermSink>(std::move(deliver), max_bytes);
}

std::shared_ptr<ReplySink> make_reply_sink(std::function<void(CallReply)> deliver) {
  return make_reply_sink(std::move(deliver), kMaxReplyBytes);
}

}  // namespace ml_worker::terms
