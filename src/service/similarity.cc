#include "service/similarity.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <span>

namespace ml_worker {
namespace {

/// `eps` of sentence_transformers.util.cos_sim.
constexpr double kSmallestNorm = 1e-12;

using Vectors = std::span<const std::shared_ptr<const CachedVector>>;

double dot(std::span<const float> a, std::span<const float> b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) sum += double{a[i]} * double{b[i]};
  return sum;
}

std::vector<double> norms(Vectors vectors) {
  std::vector<double> result;
  for (const auto& vector : vectors) {
    result.push_back(std::max(std::sqrt(dot(vector->values, vector->values)), kSmallestNorm));
  }
  return result;
}

/// A row of cosines per vector of `rows`.
std::vector<std::vector<float>> cosines(Vectors rows, Vectors columns) {
  const std::vector<double> row_norms = norms(rows);
  const std::vector<double> column_norms = norms(columns);
  std::vector<std::vector<float>> result(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (std::size_t j = 0; j < columns.size(); ++j) {
      const double product = dot(rows[i]->values, columns[j]->values);
      result[i].push_back(static_cast<float>(product / (row_norms[i] * column_norms[j])));
    }
  }
  return result;
}

std::shared_ptr<const CachedVector> as_vector(std::vector<float> values) {
  CachedVector vector;
  vector.values = std::move(values);
  return std::make_shared<const CachedVector>(std::move(vector));
}

}  // namespace

Similarities similarities(const VectorsReply& vectors, std::size_t first_count, bool first_single,
                          bool second_single) {
  const Vectors all(vectors.vectors);
  Similarities result{.reply = {}, .single = first_single};
  result.reply.scalars = second_single;
  for (auto& row : cosines(all.first(first_count), all.subspan(first_count))) {
    result.reply.vectors.push_back(as_vector(std::move(row)));
  }
  return result;
}

}  // namespace ml_worker
