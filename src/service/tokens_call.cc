#include "service/tokens_call.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "service/load.h"

namespace ml_worker {
namespace {

/// Of all token vectors of one reply: 128 MiB.
constexpr std::size_t kMaxFloats = std::size_t{32} << 20;

}  // namespace

void TokensCall::start(std::vector<Input> inputs, Admission::Ticket& ticket) {
  if (const auto error = prepare(inputs)) return call_->fail(*error);
  const Clock::time_point started = Clock::now();
  auto texts = tokenize(inputs);
  if (!inputs.empty()) call_->times().tokenized(started);
  if (!texts) return call_->fail(texts.error());
  ticket.tokenized();
  if (!ticket.grow(bytes_of_rows(*texts))) {
    return call_->fail(errors::overloaded(retry_after(core_)));
  }
  rows_.resize(inputs.size());
  missing_ += inputs.size();
  compute(std::move(*texts));
  row_arrived();
  mark_started();
}

std::shared_ptr<TokensCall> TokensCall::self() {
  return std::static_pointer_cast<TokensCall>(shared_from_this());
}

std::optional<Error> TokensCall::prepare(std::vector<Input>& inputs) {
  const ModelDescription& about = model_->description();
  if (about.token_dimensions == 0) {
    return errors::bad_argument("model",
                                "expected a model that gives token vectors, got " + about.name);
  }
  const auto prompt = resolve_prompt(options_, *model_);
  if (!prompt) return prompt.error();
  prepend(prompt->text, inputs);
  side_ = options_.truncation_side.value_or(about.truncation_side);
  if (deadline_ && Clock::now() > *deadline_) return errors::deadline_exceeded();
  return std::nullopt;
}

Result<std::vector<Tokens>> TokensCall::tokenize(const std::vector<Input>& inputs) const {
  const ModelDescription& about = model_->description();
  const std::size_t most = kMaxFloats / about.token_dimensions;
  std::vector<Tokens> texts;
  std::size_t total = 0;
  for (const Input& input : inputs) {
    texts.push_back(ml_worker::tokenize(input, *model_, side_));
    const Tokens& tokens = texts.back();
    if (!options_.truncate && tokens.given > about.max_tokens) {
      return errors::too_long(texts.size(), tokens.given, tokens.given_is_lower_bound,
                              about.max_tokens);
    }
    total += tokens.ids.size();
    if (total > most) return errors::too_large("tokens", total, most);
  }
  return texts;
}

std::size_t TokensCall::bytes_of_rows(const std::vector<Tokens>& texts) const {
  std::size_t tokens = 0;
  for (const Tokens& text : texts) tokens += text.ids.size();
  return tokens * model_->description().token_dimensions * sizeof(float);
}

void TokensCall::compute(std::vector<Tokens> texts) {
  std::vector<WorkItem> items;
  for (std::size_t i = 0; i < texts.size(); ++i) items.push_back(make_item(i, std::move(texts[i])));
  if (items.empty()) return;
  call_->times().submit();
  if (const auto refusal = core_.batcher.submit(std::move(items))) fail(*refusal);
}

WorkItem TokensCall::make_item(std::size_t slot, Tokens tokens) {
  WorkItem item;
  item.encoder = model_;
  item.input = queued(std::move(tokens), 0);
  item.output = EncoderOutput::tokens;
  item.priority = options_.priority;
  item.deadline = deadline_;
  item.caller = call_->number();
  item.interest = [self = self()] { return self->interest_at(Clock::now()); };
  item.done = [self = self(), slot](const Result<std::span<const float>>& rows,
                                    const ForwardTimes& times) { self->keep(slot, rows, times); };
  return item;
}

void TokensCall::keep(std::size_t slot, const Result<std::span<const float>>& rows,
                      const ForwardTimes& times) {
  if (rows || rows.error().kind == ErrorKind::model_failed) call_->times().computed(times);
  if (!rows) return fail(rows.error());
  if (!std::all_of(rows->begin(), rows->end(), [](float x) { return std::isfinite(x); })) {
    return fail(errors::model_failed(model_->description().name, "not finite"));
  }
  rows_[slot].assign(rows->begin(), rows->end());
  row_arrived();
}

void TokensCall::row_arrived() {
  if (--missing_ > 0) return;
  post_finish(CallThreads::Lane::large);
}

void TokensCall::finish() {
  TokensReply reply{std::move(rows_), model_->description().token_dimensions, options_.format};
  call_->answer([&reply](ReplySink& sink) { sink.token_embeddings(reply); });
}

}  // namespace ml_worker
