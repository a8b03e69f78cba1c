#include "service/info.h"

#include <unistd.h>

#include <array>
#include <fstream>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ml_worker {
namespace {

constexpr int kApi = 1;

Value number(std::uint64_t value) { return static_cast<std::int64_t>(value); }

Value atoms(const std::vector<std::string>& names) {
  ValueList list;
  for (const std::string& name : names) list.push_back(atom(name));
  return list;
}

std::size_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::size_t total_pages = 0;
  std::size_t resident_pages = 0;
  statm >> total_pages >> resident_pages;
  return resident_pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

Value aliases_value(const ModelTable& models) {
  ValueMap map;
  for (const auto& [alias, name] : models.aliases()) map.entries.emplace_back(alias, name);
  return map;
}

Value names_of(const std::map<std::string, std::string>& named) {
  ValueList names;
  for (const auto& entry : named) names.emplace_back(entry.first);
  return names;
}

Value strings(const std::vector<std::string>& texts) {
  return ValueList(texts.begin(), texts.end());
}

std::vector<std::pair<std::string, Value>> model_entries(const ModelDescription& model) {
  const bool embeds = model.task == ModelTask::embedding;
  return {{"name", model.name},
          {"task", atom(embeds ? "embedding" : "classification")},
          {"dimensions", model.dimensions},
          {"max_tokens", model.max_tokens},
          {"normalizes", model.normalizes},
          {"pooling", strings(model.pooling)},
          {"prompts", names_of(model.prompts)},
          {"labels", strings(model.labels)},
          {"model_id", model.model_id},
          {"numerics", model.numerics},
          {"weights_bytes", model.weight_bytes}};
}

Value model_section(const ModelTable& models) {
  const ModelTable::Model first_choice = models.default_model();
  ValueList names;
  ValueList details;
  for (const auto& model : models.all()) {
    names.emplace_back(model.encoder->description().name);
    details.push_back(map(model_entries(model.encoder->description())));
  }
  return map({{"loaded_models", std::move(names)},
              {"default_model", first_choice->description().name},
              {"default_dimensions", first_choice->description().dimensions},
              {"aliases", aliases_value(models)},
              {"details", std::move(details)}});
}

Value memory_section(const Core& core) {
  return map({{"rss_bytes", resident_bytes()},
              {"weights_bytes", core.models.weight_bytes()},
              {"models_max_bytes", core.options.models_max_bytes}});
}

Value device_value(const DeviceStatus& device) {
  return map({{"device", device.device},
              {"name", device.name},
              {"memory_bytes", device.memory_bytes},
              {"limit_bytes", device.limit_bytes},
              {"used_bytes", device.used_bytes},
              {"reserved_bytes", device.reserved_bytes},
              {"batch_tokens", device.batch_tokens}});
}

/// Each GPU once, with the smallest budget that a model has on it.
Value devices_section(const ModelTable& models) {
  std::map<std::string, DeviceStatus> by_name;
  for (const auto& model : models.all()) {
    for (const DeviceStatus& device : model.encoder->devices()) {
      const auto [known, added] = by_name.emplace(device.device, device);
      std::size_t& budget = known->second.batch_tokens;
      const bool smaller = device.batch_tokens > 0 && (budget == 0 || device.batch_tokens < budget);
      if (smaller) budget = device.batch_tokens;
    }
  }
  ValueList devices;
  for (const auto& entry : by_name) devices.push_back(device_value(entry.second));
  return devices;
}

Value cache_section(const CacheStats& stats) {
  const auto looked_up = static_cast<double>(stats.hits + stats.misses);
  const double rate = looked_up > 0.0 ? static_cast<double>(stats.hits) / looked_up : 0.0;
  return map({{"hits", number(stats.hits)},
              {"misses", number(stats.misses)},
              {"hit_rate", rate},
              {"entries", stats.entries},
              {"bytes", stats.bytes},
              {"max_bytes", stats.max_bytes}});
}

Value queue_section(const BatchingStats& stats) {
  return map({{"queued_texts", stats.queued_texts},
              {"queued_tokens", stats.queued_tokens},
              {"running_tokens", stats.running_tokens},
              {"batches", number(stats.batches)},
              {"texts", number(stats.texts)},
              {"tokens", number(stats.tokens)},
              {"cancelled", number(stats.cancelled)},
              {"late", number(stats.late)},
              {"failed", number(stats.failed)},
              {"tokens_per_second", stats.tokens_per_second}});
}

Value calls_section(const Core& core) {
  return map({{"total", number(core.counters->total)},
              {"ok", number(core.counters->ok)},
              {"failed", number(core.counters->failed)},
              {"cancelled", number(core.counters->cancelled)},
              {"pending", core.admission->pending_calls()}});
}

Value uptime(const Core& core) {
  using std::chrono::milliseconds;
  const auto elapsed = std::chrono::duration_cast<milliseconds>(Clock::now() - core.started);
  return std::int64_t{elapsed.count()};
}

Value failures_section(const CallCounters& counters) {
  ValueMap section;
  for (std::size_t i = 0; i < counters.failures.size(); ++i) {
    const auto kind = static_cast<ErrorKind>(i);
    section.entries.emplace_back(atom(std::string(name_of(kind))), number(counters.failures.at(i)));
  }
  return section;
}

Value histogram_value(const HistogramSnapshot& histogram) {
  std::size_t used = histogram.buckets.size();
  while (used > 0 && histogram.buckets.at(used - 1) == 0) --used;
  ValueList buckets;
  for (std::size_t i = 0; i < used; ++i) {
    buckets.push_back(
        tuple({number((std::uint64_t{1} << i) - 1), number(histogram.buckets.at(i))}));
  }
  return map({{"count", number(histogram.count)},
              {"sum", number(histogram.sum)},
              {"buckets", std::move(buckets)}});
}

Value histograms_section(const CallCounters& counters, const BatchingStats& batching) {
  return map({{"queue_us", histogram_value(counters.queue_us.snapshot())},
              {"tokenize_us", histogram_value(counters.tokenize_us.snapshot())},
              {"compute_us", histogram_value(counters.compute_us.snapshot())},
              {"reply_us", histogram_value(counters.reply_us.snapshot())},
              {"batch_texts", histogram_value(batching.batch_texts)},
              {"batch_tokens", histogram_value(batching.batch_tokens)}});
}

}  // namespace

Value info_value(const Core& core) {
  return map({{"model", model_section(core.models)},
              {"memory", memory_section(core)},
              {"devices", devices_section(core.models)},
              {"cache", cache_section(core.cache.stats())},
              {"queue", queue_section(core.batcher.stats())},
              {"calls", calls_section(core)},
              {"version", ML_WORKER_VERSION},
              {"api", kApi},
              {"functions", atoms(service_functions())},
              {"opts", atoms(service_options())},
              {"uptime_ms", uptime(core)}});
}

Value models_value(const Core& core) {
  ValueList list;
  for (const std::string& name : core.loader.list()) {
    const ModelTable::Model model = core.models.find(name);
    auto entries = model ? model_entries(model->description())
                         : std::vector<std::pair<std::string, Value>>{{"name", name}};
    entries.emplace_back("loaded", model != nullptr);
    entries.emplace_back("allowed", core.loader.may_load(name));
    list.push_back(map(std::move(entries)));
  }
  return list;
}

Value metrics_value(const Core& core) {
  const BatchingStats batching = core.batcher.stats();
  return map({{"uptime_ms", uptime(core)},
              {"calls", calls_section(core)},
              {"failures", failures_section(*core.counters)},
              {"devices", devices_section(core.models)},
              {"cache", cache_section(core.cache.stats())},
              {"queue", queue_section(batching)},
              {"histograms", histograms_section(*core.counters, batching)}});
}

}  // namespace ml_worker
