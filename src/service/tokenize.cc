#include "service/tokenize.h"

#include <utility>

namespace ml_worker {
namespace {

/// A Value per id: a bound on the memory of one reply.
constexpr std::size_t kMaxTokens = 4000000;

}  // namespace

Result<Value> tokenize(const TokenizeRequest& request, const ModelTable& models) {
  const auto model = models.find(request.model);
  if (!model) return errors::unknown_model(request.model);
  const ModelDescription& description = model->description();
  ValueList texts;
  std::size_t total = 0;
  for (const std::string& text : request.texts) {
    const Tokens tokens =
        model->tokenizer().encode(text, description.max_tokens, description.truncation_side);
    total += tokens.ids.size();
    if (total > kMaxTokens) return errors::too_large("tokens", total, kMaxTokens);
    ValueList ids;
    ids.reserve(tokens.ids.size());
    for (const std::int32_t id : tokens.ids) ids.emplace_back(id);
    texts.emplace_back(std::move(ids));
  }
  return Value(std::move(texts));
}

}  // namespace ml_worker
