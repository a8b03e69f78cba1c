#include "service/vectors_call.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "ml_worker/keyed_hash.h"
#include "service/guarded.h"

namespace ml_worker {
namespace {

/// A reply of more vectors is written on the lane of large work.
constexpr std::size_t kSmallReply = 64;
/// Texts of a part: enough for many batches, whose texts are of equal length.
constexpr std::size_t kPart = 4096;

}  // namespace

struct VectorsCall::Parts {
  Parts(std::vector<Input> all, std::vector<Missing> not_cached, std::size_t texts_of_a_part,
        std::shared_ptr<Admission::Ticket> of_call)
      : inputs(std::move(all)),
        missing(std::move(not_cached)),
        size(texts_of_a_part),
        ticket(std::move(of_call)) {}

  /// At least one: it may be empty.
  std::size_t count() const { return std::max<std::size_t>((missing.size() + size - 1) / size, 1); }
  std::span<Missing> part(std::size_t index) {
    const std::size_t first = index * size;
    return std::span(missing).subspan(first, std::min(size, missing.size() - first));
  }

  const std::vector<Input> inputs;
  std::vector<Missing> missing;
  const std::size_t size;
  const std::shared_ptr<Admission::Ticket> ticket;
  const Clock::time_point started = Clock::now();
  std::atomic<std::size_t> untokenized{missing.size()};  ///< texts
};

VectorsCall::VectorsCall(Core& core, std::shared_ptr<Call> call, std::shared_ptr<Encoder> model,
                         EncodeOptions options, Answer answer)
    : DeviceCall(core, std::move(call), std::move(model), std::move(options)),
      answer_(std::move(answer)) {}

void VectorsCall::start(std::vector<Input> inputs, std::shared_ptr<Admission::Ticket> ticket) {
  if (const auto error = prepare(inputs)) return call_->fail(*error);
  std::vector<Missing> missing = look_up(inputs);
  const std::size_t size = part_size(missing.size());
  const auto parts =
      std::make_shared<Parts>(std::move(inputs), std::move(missing), size, std::move(ticket));
  missing_ = parts->count();
  run_part(*parts, 0);
  for (std::size_t i = 1; i < parts->count(); ++i) {
    core_.threads.post(CallThreads::Lane::large, [self = self(), parts, i] {
      guarded(*self->call_, [&] { self->run_part(*parts, i); });
    });
  }
  mark_started();
}

std::shared_ptr<VectorsCall> VectorsCall::self() {
  return std::static_pointer_cast<VectorsCall>(shared_from_this());
}

/// All in one where a text that is too long must refuse the call before any is computed.
std::size_t VectorsCall::part_size(std::size_t texts) const {
  return options_.truncate ? kPart : std::max<std::size_t>(texts, 1);
}

void VectorsCall::run_part(Parts& parts, std::size_t index) {
  if (has_failed() || !tokenize(parts, index)) return;
  if (const auto error = first_too_long(parts.missing)) return call_->fail(*error);
  compute(parts, index);
  if (!vector_arrived()) return;
  if (reply_lane() == CallThreads::Lane::small) return finish();
  post_finish(reply_lane());
}

std::optional<Error> VectorsCall::prepare(std::vector<Input>& inputs) {
  if (auto error = check_pairs(inputs, *model_)) return error;
  const auto shape = resolve_shape(options_, model_->description());
  if (!shape) return shape.error();
  const auto prompt = resolve_prompt(options_, *model_);
  if (!prompt) return prompt.error();
  shape_ = *shape;
  shape_.unpooled = prompt->unpooled;
  prepend(prompt->text, inputs);
  if (deadline_ && Clock::now() > *deadline_) return errors::deadline_exceeded();
  return std::nullopt;
}

// An entry that came between the call's arrival and now saves the work, but is not `cached`.
std::vector<VectorsCall::Missing> VectorsCall::look_up(const std::vector<Input>& inputs) {
  const std::string prefix = cache_key_prefix(model_->description(), shape_);
  std::unordered_map<std::string, std::size_t, KeyedHash> first_by_key;
  std::vector<Missing> missing;
  vectors_.resize(inputs.size());
  first_equal_.resize(inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    std::string key = prefix + key_of(inputs[i]);
    const std::size_t first = first_by_key.try_emplace(key, i).first->second;
    first_equal_[i] = first;
    if (first == i) {
      vectors_[i] = core_.cache.get(key);
      if (!vectors_[i]) missing.push_back({i, std::move(key), {}});
    }
    const auto& vector = vectors_[first];
    if (vector && vector->made <= call_->arrival()) ++cached_;
  }
  return missing;
}

/// False if the caller has gone meanwhile.
bool VectorsCall::tokenize(Parts& parts, std::size_t index) {
  const std::span<Missing> missing = parts.part(index);
  for (Missing& text : missing) {
    if (!call_->open()) return false;
    text.tokens = ml_worker::tokenize(parts.inputs[text.slot], *model_, shape_.truncation_side);
  }
  if ((parts.untokenized -= missing.size()) > 0) return true;
  parts.ticket->tokenized();
  if (!parts.missing.empty()) call_->times().tokenized(parts.started);
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

/// The queue takes or refuses the call with its first part.
void VectorsCall::compute(Parts& parts, std::size_t index) {
  const std::span<Missing> missing = parts.part(index);
  if (missing.empty()) return;
  call_->times().submit();
  missing_ += missing.size();
  Created created = join(missing, parts.missing.size());
  if (created.items.empty()) return;
  const std::size_t later = parts.missing.size() - missing.size();
  // If the texts that follow are as long as these.
  const std::size_t to_come = tokens_of(created.items) * later / created.items.size();
  const auto refusal = index == 0 ? core_.batcher.submit(std::move(created.items), to_come)
                                  : core_.batcher.submit_rest(std::move(created.items));
  if (!refusal) return;
  // Told last: a call that comes after this one's answer finds nothing of it.
  const bool is_first = begin_failure();
  for (const auto& promise : created.promises) promise->withdraw(*refusal);
  if (is_first) post_failure(*refusal);
}

VectorsCall::Created VectorsCall::join(std::span<Missing> missing, std::size_t crowd) {
  Created created;
  const InFlight::Place place{options_.priority, crowd};
  for (Missing& text : missing) {
    auto joined = core_.in_flight.join(std::move(text.key), place, {self(), text.slot});
    if (joined.found) {
      vectors_[text.slot] = std::move(joined.found);
      vector_arrived();
    } else if (joined.created) {
      created.promises.push_back(make_promise(std::move(joined.created), text.tokens));
      created.items.push_back(make_item(created.promises.back(), std::move(text.tokens)));
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

WorkItem VectorsCall::make_item(const std::shared_ptr<TextPromise>& promise, Tokens tokens) const {
  WorkItem item;
  item.encoder = model_;
  item.input = queued(std::move(tokens), shape_.unpooled);
  item.priority = options_.priority;
  item.deadline = deadline_;
  item.caller = call_->number();
  item.interest = [promise] { return promise->interest(); };
  item.claim = [promise] { return promise->claim(); };
  item.done = [promise](const Result<std::span<const float>>& raw, const ForwardTimes& times) {
    promise->keep(raw, times);
  };
  return item;
}

bool VectorsCall::vector_arrived() { return --missing_ == 0; }

void VectorsCall::text_ready(std::size_t slot, std::shared_ptr<const CachedVector> vector,
                             const ForwardTimes& times) {
  call_->times().computed(times);
  vectors_[slot] = std::move(vector);
  if (vector_arrived()) post_finish(reply_lane());
}

CallThreads::Lane VectorsCall::reply_lane() const {
  return vectors_.size() <= kSmallReply ? CallThreads::Lane::small : CallThreads::Lane::large;
}

void VectorsCall::text_failed(const Error& error, const ForwardTimes& times) {
  if (error.kind == ErrorKind::model_failed) call_->times().computed(times);
  fail(error);
}

void VectorsCall::finish() {
  call_->answer([this](ReplySink& sink) { answer_(sink, make_reply()); });
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
  if (options_.timings) reply.timings = call_->times().timings();
  const ModelDescription& model = model_->description();
  if (options_.fingerprint) reply.fingerprint = Fingerprint{model.model_id, model.numerics};
  return reply;
}

}  // namespace ml_worker
