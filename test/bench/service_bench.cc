// What the service costs beside the model: texts through admission, tokenizing (at blanks), queue,
// batches and replies, with a device that answers after a time that does not depend on this
// machine's cores. No cache.
//
//   service_bench [CALLERS [TEXTS_A_CALL [MICROSECONDS_A_BATCH [LANES [BATCH_TOKENS]]]]]
//
// prints a JSON object: texts per second, and microseconds of CPU per text of all threads together.
#include <fmt/format.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "answered.h"
#include "ml_worker/service.h"
#include "support/fake_encoder.h"

namespace ml_worker {
namespace {

constexpr std::size_t kWords = 12;
constexpr std::size_t kDimensions = 384;
constexpr std::chrono::seconds kDuration{3};

/// A device that takes `delay` for a batch, whatever is in it.
class Device : public test::FakeEncoder {
 public:
  Device(std::chrono::microseconds delay, std::size_t lanes)
      : FakeEncoder("fake", kDimensions, 64), delay_(delay) {
    replica_count = lanes;
  }
  void forward(std::span<const EncoderInput> inputs, EncoderOutput /*output*/,
               std::span<float> rows) override {
    if (delay_.count() > 0) std::this_thread::sleep_for(delay_);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      rows[i * kDimensions] = static_cast<float>(1 + inputs[i].ids[1]);
    }
  }

 private:
  std::chrono::microseconds delay_;
};

std::string text(std::size_t number) {
  std::string words = std::to_string(number);
  while (std::count(words.begin(), words.end(), ' ') + 1 < static_cast<long>(kWords)) {
    words += " word" + std::to_string(number % 97);
  }
  return words;
}

void encode(Service& service, std::vector<std::string> texts) {
  const auto sink = std::make_shared<Answered>();
  const auto make = [&]() -> Result<Request> {
    EncodeRequest request;
    request.texts = std::move(texts);
    request.model = "default";
    return Request(std::move(request));
  };
  const auto handle = service.call(make, {1, 1}, sink);
  sink->done.get_future().wait();
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

int run(const std::vector<std::size_t>& numbers) {
  const auto number = [&](std::size_t i, std::size_t otherwise) {
    return i < numbers.size() ? numbers[i] : otherwise;
  };
  const std::size_t callers = number(0, 64);
  const std::size_t each = number(1, 256);
  ServiceOptions options;
  options.cache_bytes = 0;
  options.tokenizer_threads = static_cast<int>(std::thread::hardware_concurrency());
  options.batching.batch_tokens = number(4, 16384);
  Service service(options, {LoadedModel(std::make_shared<Device>(
                               std::chrono::microseconds(number(2, 0)), number(3, 2)))});
  std::atomic<std::size_t> next{0};
  std::atomic<bool> ended{false};
  std::vector<std::thread> threads;
  const auto start = Clock::now();
  const double cpu = cpu_seconds();
  for (std::size_t i = 0; i < callers; ++i) {
    threads.emplace_back([&] {
      while (!ended) {
        const std::size_t first = next.fetch_add(each);
        std::vector<std::string> texts;
        for (std::size_t j = 0; j < each; ++j) texts.push_back(text(first + j));
        encode(service, std::move(texts));
      }
    });
  }
  std::this_thread::sleep_for(kDuration);
  ended = true;
  for (std::thread& thread : threads) thread.join();
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  const auto texts = static_cast<double>(next.load());
  fmt::print("{{\"texts_per_second\": {:.0f}, \"cpu_us_per_text\": {:.2f}}}\n", texts / seconds,
             1e6 * (cpu_seconds() - cpu) / texts);
  return 0;
}

}  // namespace
}  // namespace ml_worker

int main(int argc, char** argv) {
  std::vector<std::size_t> numbers;
  for (int i = 1; i < argc; ++i) numbers.push_back(std::strtoul(argv[i], nullptr, 10));
  return ml_worker::run(numbers);
}
