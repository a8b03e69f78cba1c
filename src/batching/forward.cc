#include "batching/forward.h"

#include <exception>
#include <optional>
#include <string>

#include "batching/queue.h"
#include "ml_worker/log.h"

namespace ml_worker {
namespace {

/// What went wrong, if something did. No exception of an encoder leaves this function, nor that
/// there is no memory for `rows`.
std::optional<std::string> try_forward(std::span<const WorkItem> batch, std::size_t lane,
                                       std::vector<float>& rows) {
  const WorkItem& first = batch.front();
  try {
    std::vector<EncoderInput> inputs;
    for (const WorkItem& item : batch) inputs.push_back(item.input.view());
    rows.resize(floats_of(first.encoder->description(), inputs, first.output));
    first.encoder->replica(lane).forward(inputs, first.output, rows);
    return std::nullopt;
  } catch (const std::exception& exception) {
    return exception.what();
  } catch (...) {
    return "unknown exception";
  }
}

/// Of the rows that the encoder gives for `item`.
std::size_t floats_of(const WorkItem& item) {
  const EncoderInput input = item.input.view();
  return floats_of(item.encoder->description(), {&input, 1}, item.output);
}

ForwardCounts forward_alone(const WorkItem& item, std::size_t lane, Clock::time_point started,
                            std::vector<float>& rows, const Counted& counted) {
  auto what = try_forward({&item, 1}, lane, rows);
  const ForwardTimes times{started, Clock::now()};
  if (what) {
    ForwardCounts failed{.failed = 1, .last_failure = *what};
    counted(failed);
    finish_item(item, errors::model_failed(item.encoder->description().name, *what), times);
    return failed;
  }
  ForwardCounts done{.texts = 1, .tokens = item.input.ids.size()};
  counted(done);
  finish_item(item, std::span<const float>(rows), times);
  return done;
}

/// One line for a batch: a dead device must not fill the disk.
void log_failures(const Encoder& encoder, const ForwardCounts& counts) {
  if (counts.failed == 0) return;
  log::error("texts could not be computed", {{"model", encoder.description().name},
                                             {"texts", std::to_string(counts.failed)},
                                             {"what", log::printable(counts.last_failure, 512)}});
}

ForwardCounts forward_each(const std::vector<WorkItem>& batch, std::size_t lane,
                           Clock::time_point started, std::vector<float>& rows,
                           const Counted& counted) {
  ForwardCounts counts;
  for (const WorkItem& item : batch) {
    ForwardCounts one = forward_alone(item, lane, started, rows, counted);
    counts.texts += one.texts;
    counts.tokens += one.tokens;
    counts.failed += one.failed;
    if (one.failed > 0) counts.last_failure = std::move(one.last_failure);
  }
  log_failures(*batch.front().encoder, counts);
  return counts;
}

}  // namespace

void finish_item(const WorkItem& item, const Result<std::span<const float>>& result,
                 const ForwardTimes& times) {
  log::contained("a finished text could not be handed on", [&] { item.done(result, times); });
}

ForwardCounts forward_batch(const std::vector<WorkItem>& batch, std::size_t lane,
                            Clock::time_point started, std::vector<float>& rows,
                            const Counted& counted) {
  if (batch.size() == 1) return forward_each(batch, lane, started, rows, counted);
  if (try_forward(batch, lane, rows)) return forward_each(batch, lane, started, rows, counted);
  const ForwardTimes times{started, Clock::now()};
  ForwardCounts counts{.texts = batch.size(), .tokens = tokens_of(batch)};
  counted(counts);
  std::size_t row = 0;
  for (const WorkItem& item : batch) {
    finish_item(item, std::span<const float>(rows).subspan(row, floats_of(item)), times);
    row += floats_of(item);
  }
  return counts;
}

}  // namespace ml_worker
