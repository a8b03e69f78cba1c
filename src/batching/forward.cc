#include "batching/forward.h"

#include <exception>
#include <optional>
#include <string>

#include "ml_worker/log.h"

namespace ml_worker {
namespace {

using Inputs = std::vector<EncoderInput>;

/// What went wrong, if something did. No exception of an encoder leaves this function.
std::optional<std::string> try_forward(Encoder& encoder, const Inputs& inputs,
                                       std::span<float> rows) {
  try {
    encoder.forward(inputs, EncoderOutput::vectors, rows);
    return std::nullopt;
  } catch (const std::exception& exception) {
    return exception.what();
  } catch (...) {
    return "unknown exception";
  }
}

void forward_alone(const WorkItem& item, Clock::time_point started, std::vector<float>& rows,
                   ForwardCounts& counts) {
  rows.resize(item.encoder->description().dimensions);
  auto what = try_forward(*item.encoder, {EncoderInput(item.ids)}, rows);
  const ForwardTimes times{started, Clock::now()};
  if (what) {
    ++counts.failed;
    counts.last_failure = *what;
    const std::string& model = item.encoder->description().name;
    return finish_item(item, errors::model_failed(model, *what), times);
  }
  ++counts.texts;
  counts.tokens += item.ids.size();
  finish_item(item, std::span<const float>(rows), times);
}

/// One line for a batch: a dead device must not fill the disk.
void log_failures(const Encoder& encoder, const ForwardCounts& counts) {
  if (counts.failed == 0) return;
  log::error("texts could not be computed", {{"model", encoder.description().name},
                                             {"texts", std::to_string(counts.failed)},
                                             {"what", log::printable(counts.last_failure, 512)}});
}

ForwardCounts forward_each(const std::list<WorkItem>& batch, Clock::time_point started,
                           std::vector<float>& rows) {
  ForwardCounts counts;
  for (const WorkItem& item : batch) forward_alone(item, started, rows, counts);
  log_failures(*batch.front().encoder, counts);
  return counts;
}

}  // namespace

void finish_item(const WorkItem& item, Result<std::span<const float>> result,
                 const ForwardTimes& times) {
  try {
    item.done(std::move(result), times);
  } catch (const std::exception& exception) {
    log::error("a finished text could not be handed on", {{"what", exception.what()}});
  } catch (...) {
    log::error("a finished text could not be handed on");
  }
}

ForwardCounts forward_batch(const std::list<WorkItem>& batch, Clock::time_point started,
                            std::vector<float>& rows) {
  if (batch.size() == 1) return forward_each(batch, started, rows);
  ForwardCounts counts;
  Encoder& encoder = *batch.front().encoder;
  const std::size_t dimensions = encoder.description().dimensions;
  Inputs inputs;
  for (const WorkItem& item : batch) inputs.emplace_back(item.ids);
  rows.resize(batch.size() * dimensions);
  if (try_forward(encoder, inputs, rows)) return forward_each(batch, started, rows);
  const ForwardTimes times{started, Clock::now()};
  std::size_t row = 0;
  for (const WorkItem& item : batch) {
    finish_item(item, std::span<const float>(rows).subspan(row++ * dimensions, dimensions), times);
    counts.tokens += item.ids.size();
  }
  counts.texts = batch.size();
  return counts;
}

}  // namespace ml_worker
