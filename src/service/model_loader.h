// Models that come and go while the worker serves.
//
// One thread loads, and frees what was unloaded: other models' calls never wait for it, and a
// call for a model that is being loaded holds no thread while it waits.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "ml_worker/service.h"
#include "service/call_threads.h"
#include "service/models.h"

namespace ml_worker {

class ModelLoader {
 public:
  using Then = std::function<void(Result<ModelTable::Model>)>;
  using Done = std::function<void(const std::optional<Error>&)>;

  ModelLoader(ModelTable& models, CallThreads& threads, const ServiceOptions& options);
  ~ModelLoader();
  ModelLoader(const ModelLoader&) = delete;
  ModelLoader& operator=(const ModelLoader&) = delete;

  /// The model for a call: at once if it is loaded; if it may be loaded on demand, later and on a
  /// call thread. `unknown_model`, `model_failed` or `too_large` if there is none to be had. What
  /// has just failed to load is not tried again for each call.
  void use(const std::string& name, Then then);
  /// The same for load_model(), which may also bring back a model that was loaded at start.
  void load(const std::string& name, Done done);
  /// `done` when nobody uses the model any more. The default model stays: bad_argument.
  void unload(const std::string& name, Done done);

  /// Whether load() would try.
  bool may_load(const std::string& name) const;
  /// Names that are there, loaded or not, sorted.
  std::vector<std::string> list() const;

  /// Whoever waits gets `draining`. Returns when the load under way has ended.
  void stop();

 private:
  using Job = std::function<void()>;
  struct Failure {
    Error error;
    Clock::time_point when;
  };

  void enqueue(const std::string& name, Then then);
  void post(Job job);
  void serve();
  void load_and_tell(const std::string& name);
  Result<ModelTable::Model> load_now(const std::string& name);
  /// With what it throws as an error.
  Result<ModelTable::Model> try_to_load(const std::string& name);
  std::optional<Error> over_bound(std::size_t further_bytes) const;
  std::optional<Error> recent_failure(const std::string& name) const;
  void tell(const std::vector<Then>& waiting, const Result<ModelTable::Model>& result);
  void free_unused(ModelTable::Model model);

  ModelTable& models_;
  CallThreads& threads_;
  const std::shared_ptr<ModelSource> source_;
  const std::size_t max_bytes_;
  std::set<std::string> on_demand_;  ///< resolved names
  std::set<std::string> at_start_;

  mutable std::mutex mutex_;
  std::condition_variable posted_;
  bool stopping_ = false;
  std::deque<Job> jobs_;
  std::map<std::string, std::vector<Then>> waiting_;  ///< by the name that is to be loaded
  std::map<std::string, Failure> failures_;
  std::map<const Encoder*, std::vector<Done>> unloading_;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace ml_worker
