// Our side of the benchmark: the service with a model, without the wire, asked like the other peers
// (peer.py): one JSON object a line.
//
//   bench_tool MODEL DTYPE TEXTS.json [THREADS [BATCH_TOKENS [DEVICE [REPLICAS]]]]
//
// {"op": "batch" | "one" | "vectors" | "callers", "set": NAME, "count": N, …}
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <future>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "ml_worker/model.h"
#include "ml_worker/service.h"

namespace ml_worker {
namespace {

using nlohmann::json;
using Texts = std::vector<std::string>;

/// Waits for the one answer.
class Answer : public ReplySink {
 public:
  void embeddings(const VectorsReply& reply) override { reply_ = reply; }
  void prediction(const VectorsReply& reply, bool /*single*/) override { reply_ = reply; }
  void token_embeddings(const TokensReply& /*reply*/) override { fail("token vectors"); }
  void value(const Value& /*value*/) override { fail("a value"); }
  void failure(const Error& /*error*/) override { fail("a failure"); }
  void deliver() override {
    problem_.empty() ? promise_.set_value(std::move(reply_))
                     : promise_.set_exception(
                           std::make_exception_ptr(std::runtime_error("unexpected " + problem_)));
  }
  VectorsReply wait() { return promise_.get_future().get(); }

 private:
  void fail(const std::string& what) { problem_ = what; }
  VectorsReply reply_;
  std::string problem_;
  std::promise<VectorsReply> promise_;
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::size_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::size_t total = 0;
  std::size_t resident = 0;
  statm >> total >> resident;
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

VectorsReply encode(Service& service, const Texts& texts) {
  const auto answer = std::make_shared<Answer>();
  const auto make = [&texts]() -> Result<Request> {
    EncodeRequest request;
    request.texts = texts;
    request.model = "default";
    request.options.usage = true;
    return Request(std::move(request));
  };
  const auto handle = service.call(make, {1, 1}, answer);
  return answer->wait();
}

std::size_t tokens_of(const VectorsReply& reply) {
  std::size_t tokens = 0;
  for (const TokenUsage& usage : *reply.usage) tokens += usage.used;
  return tokens;
}

json run_batch(Service& service, const Texts& texts, const json& request) {
  const auto start = Clock::now();
  const VectorsReply reply = encode(service, texts);
  const double seconds = seconds_since(start);
  if (request.contains("file")) {
    std::ofstream file(request["file"].get<std::string>(), std::ios::binary);
    for (const auto& vector : reply.vectors) {
      file.write(reinterpret_cast<const char*>(vector->values.data()),
                 static_cast<std::streamsize>(vector->values.size() * sizeof(float)));
    }
  }
  return {{"seconds", seconds},
          {"texts", texts.size()},
          {"tokens", tokens_of(reply)},
          {"rss", resident_bytes()}};
}

json run_one_by_one(Service& service, const Texts& texts) {
  std::vector<double> microseconds;
  for (const std::string& text : texts) {
    const auto start = Clock::now();
    encode(service, {text});
    microseconds.push_back(seconds_since(start) * 1e6);
  }
  return {{"us", microseconds}};
}

/// Each of `callers` threads asks for `each` texts at a time, every text once.
json run_callers(Service& service, const Texts& texts, std::size_t callers, std::size_t each) {
  std::atomic<std::size_t> next{0};
  std::vector<std::thread> threads;
  const auto start = Clock::now();
  for (std::size_t i = 0; i < callers; ++i) {
    threads.emplace_back([&] {
      for (std::size_t at = next.fetch_add(each); at < texts.size(); at = next.fetch_add(each)) {
        const auto first = texts.begin() + static_cast<std::ptrdiff_t>(at);
        const auto count = static_cast<std::ptrdiff_t>(std::min(each, texts.size() - at));
        encode(service, Texts(first, first + count));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return {{"seconds", seconds_since(start)}, {"texts", texts.size()}};
}

json answer(Service& service, const std::map<std::string, Texts>& sets, const json& request) {
  Texts texts = sets.at(request.at("set"));
  texts.resize(std::min(texts.size(), request.value("count", texts.size())));
  const std::string op = request.at("op");
  if (op == "one") return run_one_by_one(service, texts);
  if (op == "callers") {
    return run_callers(service, texts, request.at("callers"), request.value("each", 1));
  }
  return run_batch(service, texts, request);
}

Dtype dtype_of(const std::string& name) {
  static const std::map<std::string, Dtype> kDtypes = {{"float32", Dtype::float32},
                                                       {"bfloat16", Dtype::bfloat16},
                                                       {"float16", Dtype::float16},
                                                       {"int8", Dtype::int8}};
  return kDtypes.at(name);
}

int serve(const std::vector<std::string>& arguments) {
  ModelOptions model;
  model.dtype = dtype_of(arguments.at(1));
  if (arguments.size() > 3) model.compute_threads = std::stoi(arguments[3]);
  if (arguments.size() > 5) model.device = arguments[5];
  if (arguments.size() > 6) model.device_replicas = std::stoul(arguments[6]);
  ServiceOptions options;
  options.cache_bytes = 0;
  // One on the two cores that the CPU's figures are from.
  options.tokenizer_threads =
      std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / 2);
  if (arguments.size() > 4) options.batching.batch_tokens = std::stoul(arguments[4]);
  const auto sets = json::parse(std::ifstream(arguments.at(2))).get<std::map<std::string, Texts>>();
  Service service(options, {LoadedModel(load_model(arguments.at(0), model))});
  encode(service, {"the first answer"});
  std::cout << json{{"rss", resident_bytes()}} << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << answer(service, sets, json::parse(line)) << std::endl;
  }
  return 0;
}

}  // namespace
}  // namespace ml_worker

int main(int argc, char** argv) {
  try {
    return ml_worker::serve({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::cerr << "bench_tool: " << error.what() << '\n';
    return 1;
  }
}
