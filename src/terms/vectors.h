// Vectors as terms, in each of the formats that a caller may ask for.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "ml_worker/service.h"
#include "ml_worker/terms.h"

namespace ml_worker::terms {

using VectorList = std::span<const std::shared_ptr<const CachedVector>>;

/// Bytes of the list that write_vectors writes, and of what write_token_vectors does: exact, but
/// for json an estimate.
std::size_t vectors_size(VectorList vectors, VectorFormat format);
std::size_t token_vectors_size(const TokensReply& reply);

/// Appends one vector (finite).
void write_vector(const CachedVector& vector, VectorFormat format, Bytes& out);

/// Appends the vectors as a list. Gives up as soon as `out` is longer than `max_bytes`.
void write_vectors(VectorList vectors, VectorFormat format, std::size_t max_bytes, Bytes& out);

/// The same for vectors of one number, written as what it is: a float, 4 bytes, text.
void write_scalar(float value, VectorFormat format, Bytes& out);
void write_scalars(VectorList vectors, VectorFormat format, Bytes& out);

/// Appends a list per text of a vector per token. Gives up as soon as `out` is longer than
/// `max_bytes`.
void write_token_vectors(const TokensReply& reply, std::size_t max_bytes, Bytes& out);

}  // namespace ml_worker::terms
