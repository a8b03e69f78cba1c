// A service on the model's double, and a sink that keeps what it is given.
#pragma once

#include <catch2/catch.hpp>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "ml_worker/golden.h"
#include "ml_worker/service.h"
#include "support/fake_encoder.h"

namespace ml_worker::test {

using Texts = std::vector<std::string>;

struct Answer {
  std::optional<VectorsReply> vectors = std::nullopt;
  std::optional<TokensReply> tokens = std::nullopt;
  bool prediction = false;
  bool single = false;
  std::optional<Value> value = std::nullopt;
  std::optional<Error> error = std::nullopt;

  std::vector<float> vector(std::size_t index) const { return vectors->vectors.at(index)->values; }
};

class CollectingSink : public ReplySink {
 public:
  void embeddings(const VectorsReply& reply) override { made_ = {.vectors = reply}; }
  void prediction(const VectorsReply& reply, bool single) override {
    made_ = {.vectors = reply, .prediction = true, .single = single};
  }
  void token_embeddings(const TokensReply& reply) override { made_ = {.tokens = reply}; }
  void value(const Value& value) override { made_ = {.value = value}; }
  void failure(const Error& error) override { made_ = {.error = error}; }
  void deliver() override {
    const std::lock_guard lock(mutex_);
    ++answers_;
    thread_ = std::this_thread::get_id();
    answer_ = std::move(made_);
    changed_.notify_all();
  }

  Answer wait() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::seconds(30), [this] { return answers_ > 0; })) {
      throw std::runtime_error("no answer");
    }
    return answer_;
  }
  int answers() {
    const std::lock_guard lock(mutex_);
    return answers_;
  }
  std::thread::id answered_by() {
    const std::lock_guard lock(mutex_);
    return thread_;
  }

 private:
  Answer made_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int answers_ = 0;
  std::thread::id thread_;
  Answer answer_;
};

struct Pending {
  std::shared_ptr<CallHandle> handle;
  std::shared_ptr<CollectingSink> sink;
  Answer wait() const { return sink->wait(); }
};

/// Members of a map Value by atom key.
inline Value at(const Value& map, const std::string& key) {
  for (const auto& [name, value] : std::get<ValueMap>(map.storage()).entries) {
    if (name == atom(key)) return value;
  }
  throw std::runtime_error("no key " + key);
}
inline std::int64_t number(const Value& value) { return std::get<std::int64_t>(value.storage()); }

/// PREFIX0, PREFIX1, …
inline Texts numbered(const std::string& prefix, int count) {
  Texts texts;
  for (int i = 0; i < count; ++i) texts.push_back(prefix + std::to_string(i));
  return texts;
}

inline EncodeOptions in_bulk() {
  EncodeOptions options;
  options.priority = Priority::bulk;
  return options;
}

inline ServiceOptions with_cache(std::size_t bytes) {
  ServiceOptions options;
  options.cache_bytes = bytes;
  return options;
}

inline ServiceOptions with_queue(std::size_t tokens) {
  ServiceOptions options;
  options.batching.queue_tokens = tokens;
  return options;
}

class ServiceFixture {
 public:
  explicit ServiceFixture(ServiceOptions options = {}) : options_(std::move(options)) {}
  // A test that fails while the device is held must end.
  ~ServiceFixture() {
    encoder->open();
    second->open();
  }
  ServiceFixture(const ServiceFixture&) = delete;
  ServiceFixture& operator=(const ServiceFixture&) = delete;

  Service& service() {
    if (!service_) {
      service_ = std::make_unique<Service>(options_, std::vector<LoadedModel>{{encoder}, {second}});
    }
    return *service_;
  }
  void destroy_service() { service_.reset(); }

  Pending call(Request request, std::size_t bytes = 100) {
    auto sink = std::make_shared<CollectingSink>();
    auto make = [request = std::move(request)]() -> Result<Request> { return request; };
    return {service().call(std::move(make), {bytes, bytes}, sink), sink};
  }
  Pending start(Texts texts, EncodeOptions options = {}, std::string model = "default") {
    return call(EncodeRequest{std::move(texts), std::move(model), options});
  }
  Answer encode(Texts texts, EncodeOptions options = {}, std::string model = "default") {
    return start(std::move(texts), options, std::move(model)).wait();
  }
  Answer ask(Request request) { return call(std::move(request)).wait(); }

  /// Holds the device in a forward pass of a text that nobody else uses.
  Pending hold_device() {
    encoder->close();
    Pending holder = start({"held"});
    encoder->wait_until_held();
    return holder;
  }

  Value queue() { return at(service().info(), "queue"); }
  Value calls() { return at(service().info(), "calls"); }
  /// Waits until that many texts are queued behind a held device.
  void wait_until_queued(std::int64_t texts) {
    wait_until([&] { return number(at(queue(), "queued_texts")) == texts; });
  }
  template <typename Condition>
  static void wait_until(Condition condition) {
    const auto end = Clock::now() + std::chrono::seconds(30);
    while (!condition()) {
      if (Clock::now() > end) throw std::runtime_error("waited in vain");
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  }

  std::shared_ptr<FakeEncoder> encoder = std::make_shared<FakeEncoder>();
  std::shared_ptr<FakeEncoder> second =
      std::make_shared<FakeEncoder>("all-mpnet-base-v2", 12, 16, false);

 private:
  ServiceOptions options_;
  std::unique_ptr<Service> service_;
};

/// What the service must answer for a text, computed here by other means.
inline std::vector<float> expected_vector(const FakeEncoder& encoder, const std::string& text,
                                          bool normalize, std::size_t dimensions,
                                          TruncationSide side = TruncationSide::right) {
  const auto& description = encoder.description();
  const auto ids = FakeTokenizer().encode(text, description.max_tokens, side).ids;
  auto vector = FakeEncoder::raw_vector(ids, description.dimensions);
  vector.resize(dimensions);
  long double squares = 0;
  for (const float x : vector) squares += static_cast<long double>(x) * x;
  const long double norm = normalize ? std::max(std::sqrt(squares), 1e-12L) : 1.0L;
  for (float& x : vector) x = static_cast<float>(x / norm);
  return vector;
}

inline void check_close(const std::vector<float>& got, const std::vector<float>& expected) {
  REQUIRE(got.size() == expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i] == Approx(expected[i]).margin(1e-6));
}

}  // namespace ml_worker::test
