#include "service/vectors_call.h"

#include <algorithm>
#include <chrono>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "ml_worker/keyed_hash.h"

namespace ml_worker {
namespace {

/// A reply of more vectors is written on the lane of large work.
constexpr std::size_t kSmallReply = 64;

std::optional<Clock::time_point> deadline_of(const Call& call, const EncodeOptions& options) {
  if (!options.timeout) return std::nullopt;
  // What is over a century would overflow the clock.
  constexpr std::chrono::milliseconds kForever = std::chrono::hours{24 * 365 * 100};
  return call.arrival() + std::min(*options.timeout, kForever);
}

std::chrono::microseconds microseconds(Clock::duration duration) {
  using std::chrono::duration_cast;
  return std::max(duration_cast<std::chrono::microseconds>(duration), std::chrono::microseconds{0});
}

std::uint64_t count_of(std::chrono::microseconds duration) {
  return static_cast<std::uint64_t>(duration.count());
}

}  // namespace

VectorsCall::VectorsCall(Core& core, std::shared_ptr<Call> call, Kind kind, std::string model,
                         EncodeOptions options)
    : core_(core),
      call_(std::move(call)),
      kind_(kind),
      model_name_(std::move(model)),
      options_(options),
      deadline_(deadline_of(*call_, options_)),
      begun_(Clock::now()),
      submitted_(begun_) {}

void VectorsCall::start(const std::vector<std::string>& texts, Admission::Ticket& ticket) {
  if (const auto error = prepare()) return call_->fail(*error);
  std::vector<Missing> missing = look_up(texts);
  if (!tokenize(texts, missing)) return;
  ticket.tokenized();
  if (const auto error = first_too_long(missing)) return call_->fail(*error);
  compute(std::move(missing));
  if (vector_arrived()) finish();
}

std::optional<Error> VectorsCall::prepare() {
  model_ = core_.models.find(model_name_);
  if (!model_) return errors::unknown_model(model_name_);
  const auto shape = resolve_shape(options_, model_->description());
  if (!shape) return shape.error();
  shape_ = *shape;
  if (deadline_ && Clock::now() > *deadline_) return errors::deadline_exceeded();
  return std::nullopt;
}

// An entry that came between the call's arrival and now saves the work, but is not `cached`.
std::vector<VectorsCall::Missing> VectorsCall::look_up(const std::vector<std::string>& texts) {
  const std::string prefix = cache_key_prefix(model_->description(), shape_);
  std::unordered_map<std::string_view, std::size_t, KeyedHash> first_by_text;
  std::vector<Missing> missing;
  vectors_.resize(texts.size());
  first_equal_.resize(texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const std::size_t first = first_by_text.try_emplace(texts[i], i).first->second;
    first_equal_[i] = first;
    if (first == i) {
      std::string key = prefix + texts[i];
      vectors_[i] = core_.cache.get(key);
      if (!vectors_[i]) missing.push_back({i, std::move(key), {}});
    }
    const auto& vector = vectors_[first];
    if (vector && vector->made <= call_->arrival()) ++cached_;
  }
  return missing;
}

/// False if the caller has gone meanwhile.
bool VectorsCall::tokenize(const std::vector<std::string>& texts, std::vector<Missing>& missing) {
  const Clock::time_point started = Clock::now();
  const std::size_t limit = model_->description().max_tokens;
  for (Missing& text : missing) {
    if (!call_->open()) return false;
    text.tokens = model_->tokenizer().encode(texts[text.slot], limit, shape_.truncation_side);
  }
  tokenize_time_ = microseconds(Clock::now() - started);
  return true;
}

std::optional<Error> VectorsCall::first_too_long(const std::vector<Missing>& missing) const {
  if (options_.truncate) return std::nullopt;
  const std::size_t limit = model_->description().max_tokens;
  auto next_missing = missing.begin();
  for (std::size_t i = 0; i < vectors_.size(); ++i) {
    std::size_t given = 0;
    bool at_least = false;
    if (next_missing != missing.end() && next_missing->slot == i) {
      given = next_missing->tokens.given;
      at_least = next_missing->tokens.given_is_lower_bound;
      ++next_missing;
    } else if (vectors_[i]) {
      given = vectors_[i]->given_tokens;
      at_least = vectors_[i]->given_is_lower_bound;
    }
    if (given > limit) return errors::too_long(i + 1, given, at_least, limit);
  }
  return std::nullopt;
}

void VectorsCall::compute(std::vector<Missing> missing) {
  if (missing.empty()) return;
  submitted_ = Clock::now();
  missing_ += missing.size();
  Created created = join(std::move(missing));
  if (created.items.empty()) return;
  const auto refusal = core_.batcher.submit(std::move(created.items));
  if (!refusal) return;
  // A refusal goes the way of every failure, because other calls may have joined by now.
  const ForwardTimes never{submitted_, submitted_};
  for (const auto& promise : created.promises) promise->keep(*refusal, never);
}

VectorsCall::Created VectorsCall::join(std::vector<Missing> missing) {
  Created created;
  for (Missing& text : missing) {
    auto joined = core_.in_flight.join(std::move(text.key), {shared_from_this(), text.slot});
    if (joined.found) {
      vectors_[text.slot] = std::move(joined.found);
      vector_arrived();
    } else if (joined.created) {
      created.promises.push_back(make_promise(std::move(joined.created), text.tokens));
      created.items.push_back(make_item(created.promises.back(), std::move(text.tokens.ids)));
    }
  }
  return created;
}

std::shared_ptr<TextPromise> VectorsCall::make_promise(
    std::shared_ptr<InFlight::Computation> computation, const Tokens& tokens) const {
  CachedVector measured;
  measured.used_tokens = tokens.ids.size();
  measured.given_tokens = tokens.given;
  measured.given_is_lower_bound = tokens.given_is_lower_bound;
  return std::make_shared<TextPromise>(core_.in_flight, std::move(computation), model_, shape_,
                                       std::move(measured));
}

WorkItem VectorsCall::make_item(const std::shared_ptr<TextPromise>& promise,
                                std::vector<std::int32_t> ids) const {
  WorkItem item;
  item.encoder = model_;
  item.input.ids = std::move(ids);
  item.deadline = deadline_;
  item.caller = call_->number();
  item.interest = [promise] { return promise->interest(); };
  item.done = [promise](const Result<std::span<const float>>& raw, const ForwardTimes& times) {
    promise->keep(raw, times);
  };
  return item;
}

Interest VectorsCall::interest(Clock::time_point now) const {
  if (call_->cancelled()) return Interest::cancelled;
  if (deadline_ && now > *deadline_) return Interest::late;
  return failed_ || !call_->open() ? Interest::cancelled : Interest::wanted;
}

bool VectorsCall::vector_arrived() { return --missing_ == 0; }

void VectorsCall::text_ready(std::size_t slot, std::shared_ptr<const CachedVector> vector,
                             const ForwardTimes& times) {
  {
    const std::lock_guard lock(times_mutex_);
    if (!computed_) computed_ = times;
    computed_->started = std::min(computed_->started, times.started);
    computed_->finished = std::max(computed_->finished, times.finished);
  }
  vectors_[slot] = std::move(vector);
  if (!vector_arrived()) return;
  const auto lane =
      vectors_.size() <= kSmallReply ? CallThreads::Lane::small : CallThreads::Lane::large;
  core_.threads.post(lane, [self = shared_from_this()] { self->finish(); });
}

void VectorsCall::text_failed(const Error& error) {
  if (failed_.exchange(true)) return;
  core_.threads.post(CallThreads::Lane::small, [call = call_, error] { call->fail(error); });
}

void VectorsCall::finish() {
  const VectorsReply reply = make_reply();
  call_->answer([this, &reply](ReplySink& sink) {
    if (kind_ == Kind::encode) return sink.embeddings(reply);
    sink.prediction(reply, kind_ == Kind::predict_single);
  });
}

VectorsReply VectorsCall::make_reply() {
  VectorsReply reply;
  reply.format = options_.format;
  reply.cached = cached_;
  for (const std::size_t first : first_equal_) reply.vectors.push_back(vectors_[first]);
  if (options_.usage) {
    auto& usage = reply.usage.emplace();
    for (const auto& vector : reply.vectors) {
      usage.push_back({vector->used_tokens, vector->given_tokens, vector->given_is_lower_bound});
    }
  }
  const CallTimings times = timings();
  core_.counters->queue_us.add(count_of(times.queue));
  core_.counters->tokenize_us.add(count_of(times.tokenize));
  core_.counters->compute_us.add(count_of(times.compute));
  if (options_.timings) reply.timings = times;
  const ModelDescription& model = model_->description();
  if (options_.fingerprint) reply.fingerprint = Fingerprint{model.model_id, model.numerics};
  return reply;
}

CallTimings VectorsCall::timings() const {
  const std::lock_guard lock(times_mutex_);
  CallTimings times;
  times.tokenize = tokenize_time_;
  times.queue = microseconds(begun_ - call_->arrival());
  if (computed_) {
    times.queue += microseconds(computed_->started - submitted_);
    times.compute = microseconds(computed_->finished - computed_->started);
  }
  return times;
}

}  // namespace ml_worker
