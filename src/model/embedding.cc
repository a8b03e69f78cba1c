#include "model/embedding.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/index_select.h>

#include <algorithm>
#include <string>

namespace ml_worker {
namespace {

/// Pairs have no more.
constexpr std::int64_t kTokenTypes = 2;

std::string weight_of(std::string_view name) { return std::string(name) + ".weight"; }

at::Tensor load_positions(const TransformerConfig& config, TensorReader& reader) {
  const TensorNames& names = config.architecture->tensors;
  at::Tensor places = reader.peek(weight_of(names.positions), {config.positions, config.hidden});
  if (config.token_types == 0) return places;
  const at::Tensor types =
      reader.peek(weight_of(names.token_types), {config.token_types, config.hidden});
  std::vector<at::Tensor> sums;
  for (std::int64_t type = 0; type < std::min(config.token_types, kTokenTypes); ++type) {
    sums.push_back(places.add(types.select(0, type)));
  }
  return at::cat(sums);
}

}  // namespace

std::vector<std::int32_t> places_in_text(const Packing& packing) {
  std::vector<std::int32_t> places;
  places.reserve(packing.tokens);
  for (const EqualLengths& group : packing.groups) {
    for (std::size_t text = 0; text < group.texts; ++text) {
      for (std::size_t i = 0; i < group.length; ++i) places.push_back(static_cast<std::int32_t>(i));
    }
  }
  return places;
}

std::vector<std::int32_t> position_rows(const TransformerConfig& config,
                                        const PackedTokens& tokens) {
  std::vector<std::int32_t> rows = places_in_text(tokens.packing);
  const auto padding = static_cast<std::int32_t>(config.padding_id);
  const bool counts = config.architecture->positions == Positions::after_padding;
  std::int32_t counted = 0;
  for (std::size_t i = 0; i < rows.size() && counts; ++i) {
    if (rows[i] == 0) counted = 0;
    // A padding token that stands in a text has the padding's own position.
    rows[i] = padding + (tokens.ids[i] == padding ? 0 : ++counted);
  }
  if (config.token_types < kTokenTypes) return rows;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i] += tokens.types[i] * static_cast<std::int32_t>(config.positions);
  }
  return rows;
}

Embedding::Embedding(const TransformerConfig& config, TensorReader& reader) {
  const TensorNames& names = config.architecture->tensors;
  words_ = reader.table(reader.peek(weight_of(names.words), {config.vocabulary, config.hidden}));
  if (!names.positions.empty()) positions_ = reader.table(load_positions(config, reader));
  norm_ = reader.norm(std::string(names.embedding_norm), config.hidden, config.norm_epsilon,
                      config.norm_bias, at::kFloat);
}

at::Tensor Embedding::apply(const at::Tensor& ids, const at::Tensor& rows) const {
  at::Tensor sum = at::index_select(words_, 0, ids).to(at::kFloat);
  if (positions_.defined()) sum += at::index_select(positions_, 0, rows);
  return norm_.apply(sum);
}

}  // namespace ml_worker
