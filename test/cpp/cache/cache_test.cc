#include "ml_worker/cache.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <ctime>
#include <list>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

using ml_worker::CachedVector;
using ml_worker::CacheStats;
using ml_worker::VectorCache;

namespace {

std::shared_ptr<const CachedVector> vector_of(float value, std::size_t size = 4) {
  auto vector = std::make_shared<CachedVector>();
  vector->values.assign(size, value);
  return vector;
}

std::size_t bytes_of_one(const std::string& key, std::size_t size) {
  VectorCache cache(1 << 20);
  cache.put(key, vector_of(1, size));
  return cache.stats().bytes;
}

/// What a cache of one shard must do: a list, newest use first, cut at its end.
class ModelCache {
 public:
  ModelCache(std::size_t max_entries) : max_entries_(max_entries) {}

  const float* get(const std::string& key) {
    for (auto it = entries_.begin(); it != entries_.end(); ++it) {
      if (it->first != key) continue;
      entries_.splice(entries_.begin(), entries_, it);
      return &entries_.front().second;
    }
    return nullptr;
  }
  void put(const std::string& key, float value) {
    entries_.remove_if([&](const auto& entry) { return entry.first == key; });
    entries_.emplace_front(key, value);
    if (entries_.size() > max_entries_) entries_.pop_back();
  }
  std::size_t size() const { return entries_.size(); }

 private:
  std::size_t max_entries_;
  std::list<std::pair<std::string, float>> entries_;
};

}  // namespace

TEST_CASE("random gets and puts give what a plain list gives") {
  const std::size_t each = bytes_of_one("key00", 4);
  const auto seed = GENERATE(1U, 2U, 3U, 4U);
  const auto capacity = GENERATE(std::size_t{1}, std::size_t{7}, std::size_t{20});
  VectorCache cache(each * capacity);
  ModelCache model(capacity);
  std::mt19937 random(seed);
  std::uint64_t hits = 0;
  for (int step = 0; step < 5000; ++step) {
    const std::string key = "key" + std::to_string(10 + random() % 30);
    if (random() % 2 == 0) {
      const auto value = static_cast<float>(step);
      cache.put(key, vector_of(value));
      model.put(key, value);
    } else {
      const auto found = cache.get(key);
      const float* expected = model.get(key);
      REQUIRE((found != nullptr) == (expected != nullptr));
      if (expected != nullptr) REQUIRE(found->values.at(0) == *expected);
      if (expected != nullptr) ++hits;
    }
    REQUIRE(cache.stats().entries == model.size());
    REQUIRE(cache.stats().bytes == model.size() * each);
  }
  CHECK(cache.stats().hits == hits);
  CHECK(hits > 0);
}

TEST_CASE("entries of every size stay within the bound") {
  VectorCache cache(50000);
  std::mt19937 random(7);
  for (int i = 0; i < 3000; ++i) {
    cache.put(std::string(random() % 500, 'x') + std::to_string(i), vector_of(1, random() % 800));
    REQUIRE(cache.stats().bytes <= 50000);
  }
  CHECK(cache.stats().bytes > 40000);
}

TEST_CASE("what is larger than the cache is not kept and pushes nothing out") {
  VectorCache cache(4000);
  cache.put("small", vector_of(1));
  cache.put("large", vector_of(2, 5000));
  cache.put(std::string(5000, 'k'), vector_of(3));
  CHECK(cache.get("large") == nullptr);
  CHECK(cache.get("small") != nullptr);
}

TEST_CASE("keys are compared whole, NUL and length included") {
  VectorCache cache(1 << 20);
  cache.put(std::string("a\0b", 3), vector_of(1));
  CHECK(cache.get("a") == nullptr);
  CHECK(cache.get(std::string("a\0c", 3)) == nullptr);
  CHECK(cache.get(std::string("a\0b", 3)) != nullptr);
  CHECK(cache.get("") == nullptr);
}

TEST_CASE("peek is neither counted nor a use") {
  const std::size_t each = bytes_of_one("a", 4);
  VectorCache cache(2 * each);
  cache.put("a", vector_of(1));
  cache.put("b", vector_of(2));
  CHECK(cache.peek("a") != nullptr);
  CHECK(cache.peek("x") == nullptr);
  CHECK(cache.stats().hits + cache.stats().misses == 0);
  cache.put("c", vector_of(3));
  CHECK(cache.peek("a") == nullptr);
}

TEST_CASE("an entry that was pushed out lives as long as somebody holds it") {
  VectorCache cache(bytes_of_one("a", 4));
  cache.put("a", vector_of(5));
  const auto held = cache.get("a");
  cache.put("b", vector_of(6));
  CHECK(cache.get("a") == nullptr);
  CHECK(held->values == std::vector<float>(4, 5));
}

TEST_CASE("0 bytes switch the cache off") {
  VectorCache cache(0);
  cache.put("a", vector_of(1));
  CHECK(cache.get("a") == nullptr);
  CHECK(cache.peek("a") == nullptr);
  cache.clear();
  CHECK(cache.stats().entries == 0);
  CHECK(cache.stats().max_bytes == 0);
}

TEST_CASE("clear empties every shard") {
  VectorCache cache(std::size_t{64} << 20);
  for (int i = 0; i < 1000; ++i) cache.put(std::to_string(i), vector_of(1));
  CHECK(cache.stats().entries == 1000);
  cache.clear();
  CHECK(cache.stats().entries == 0);
  CHECK(cache.stats().bytes == 0);
  CHECK(cache.get("1") == nullptr);
}

TEST_CASE("keys are spread over the shards") {
  VectorCache cache(std::size_t{64} << 20);
  // A shard has room for one of them: as many are left as shards were chosen, of 16.
  for (int i = 0; i < 100; ++i) {
    auto vector = std::make_shared<CachedVector>();
    vector->values.reserve(700000);
    cache.put(std::to_string(i), std::move(vector));
  }
  CHECK(cache.stats().entries > 8);
  CHECK(cache.stats().entries <= 16);
}

TEST_CASE("threads that get, put and clear at once see only whole entries") {
  VectorCache cache(200000);
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&cache, &wrong, t] {
      std::mt19937 random(t);
      for (int i = 0; i < 20000; ++i) {
        const auto number = static_cast<int>(random() % 300);
        const auto value = static_cast<float>(number);
        if (random() % 3 == 0) cache.put(std::to_string(number), vector_of(value, 64));
        const auto found = cache.get(std::to_string(number));
        if (found && found->values != std::vector<float>(64, value)) ++wrong;
        if (random() % 5000 == 0) cache.clear();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(cache.stats().bytes <= 200000);
  CHECK(cache.stats().hits > 0);
}

// Hidden: a figure, not a check; run with `test_cache "[benchmark]"`.
TEST_CASE("hits per second on one core", "[.][benchmark]") {
  VectorCache cache(std::size_t{256} << 20);
  std::vector<std::string> keys;
  for (int i = 0; i < 50000; ++i) keys.push_back(std::string(120, 'k') + std::to_string(i));
  for (const auto& key : keys) cache.put(key, vector_of(1, 384));
  const std::clock_t started = std::clock();  // CPU time: other work may be on the machine
  std::size_t found = 0;
  for (int round = 0; round < 40; ++round) {
    for (const auto& key : keys) found += cache.get(key) != nullptr ? 1 : 0;
  }
  const double seconds = static_cast<double>(std::clock() - started) / CLOCKS_PER_SEC;
  WARN(static_cast<double>(found) / seconds / 1e6 << " million hits/s");
  CHECK(found == keys.size() * 40);
}
