// How many cached texts a second one core answers: the cache alone, and whole calls through the
// service (look-up, reply; no model behind it is asked).
//
//   cache_bench    prints a JSON object of lookups per second; scripts/bench --only cache runs it
//                  on one core
#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "answered.h"
#include "ml_worker/service.h"
#include "support/fake_encoder.h"

namespace ml_worker {
namespace {

constexpr std::size_t kTexts = 4096;
constexpr std::chrono::seconds kDuration{2};

std::vector<std::string> texts() {
  std::vector<std::string> result;
  for (std::size_t i = 0; i < kTexts; ++i) {
    result.push_back("a text of some sixty bytes, as titles have them, number " +
                     std::to_string(i));
  }
  return result;
}

/// Runs `round`, which looks `kTexts` texts up, for a while.
double lookups_per_second(const std::function<void()>& round) {
  const auto start = Clock::now();
  std::size_t done = 0;
  while (Clock::now() - start < kDuration) {
    round();
    done += kTexts;
  }
  return static_cast<double>(done) / std::chrono::duration<double>(Clock::now() - start).count();
}

double cache_alone() {
  VectorCache cache(std::size_t{256} << 20);
  const std::string prefix(90, 'p');  // as long as fingerprint and options
  std::vector<std::string> keys;
  for (const std::string& text : texts()) {
    keys.push_back(prefix + text);
    auto vector = std::make_shared<CachedVector>();
    vector->values.resize(384);
    cache.put(keys.back(), std::move(vector));
  }
  return lookups_per_second([&] {
    for (const std::string& key : keys) {
      if (!cache.get(key)) std::abort();
    }
  });
}

double through_the_service() {
  Service service({}, {LoadedModel(std::make_shared<test::FakeEncoder>("fake", 384, 64))});
  const auto all = texts();
  const auto round = [&] {
    const auto sink = std::make_shared<Answered>();
    const auto handle = service.call(
        [&]() -> Result<Request> {
          EncodeRequest request;
          request.texts = all;
          request.model = "default";
          return Request(std::move(request));
        },
        {1, 1}, sink);
    sink->done.get_future().wait();
  };
  round();  // fills the cache
  return lookups_per_second(round);
}

}  // namespace
}  // namespace ml_worker

int main() {
  const double alone = ml_worker::cache_alone();
  const double served = ml_worker::through_the_service();
  fmt::print("{{\"cache\": {:.0f}, \"service\": {:.0f}}}\n", alone, served);
}
