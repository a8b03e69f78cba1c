// SentencePiece's model file, as far as a Unigram model needs it.
//
// Protocol buffers (proto2), from sentencepiece_model.proto:
//   ModelProto      1 repeated SentencePiece pieces, 2 TrainerSpec, 3 NormalizerSpec
//   SentencePiece   1 string piece, 2 float score, 3 enum type (1 normal, 2 unknown, …)
//   TrainerSpec     3 enum model_type (1 unigram, 2 bpe, …), 35 bool byte_fallback
//   NormalizerSpec  1 string name, 2 bytes precompiled_charsmap, 3 bool add_dummy_prefix,
//                   4 bool remove_extra_whitespaces, 5 bool escape_whitespaces
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/unigram.h"

namespace ml_worker {

struct SentencePieceModel {
  std::vector<UnigramPiece> pieces;
  std::string charsmap;  ///< may be empty
};

/// Throws std::invalid_argument that names what is broken, or not a Unigram model.
SentencePieceModel read_sentencepiece_model(std::string_view bytes);

/// A Unigram model of `pieces`, in their order, that takes text as it is: no normalisation, no
/// prefix, blanks not escaped. The unknown piece is one more, at the end.
std::string write_unigram_model(const std::vector<UnigramPiece>& pieces);

}  // namespace ml_worker
