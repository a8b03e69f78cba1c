#include "tokenizer/components.h"

namespace ml_worker {

PairTemplate bert_pair(std::int32_t cls, std::int32_t sep) { return {{cls}, {sep}, {sep}, 1}; }

PairTemplate roberta_pair(std::int32_t bos, std::int32_t eos) {
  return {{bos}, {eos, eos}, {eos}, std::nullopt};
}

}  // namespace ml_worker
