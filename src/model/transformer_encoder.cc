#include "model/transformer_encoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace ml_worker {
namespace {

class TransformerEncoder : public Encoder {
 public:
  explicit TransformerEncoder(EncoderParts parts)
      : parts_(std::move(parts)), hidden_(parts_.description.token_dimensions) {}

  const ModelDescription& description() const override { return parts_.description; }
  const Tokenizer& tokenizer() const override { return *parts_.tokenizer; }

  void forward(std::span<const EncoderInput> inputs, EncoderOutput output,
               std::span<float> rows) override {
    check(inputs, output, rows);
    if (inputs.empty()) return;
    try {
      compute(inputs, output, rows);
    } catch (const std::exception& error) {
      throw EncoderError(error.what());
    }
  }

 private:
  void check(std::span<const EncoderInput> inputs, EncoderOutput output,
             std::span<const float> rows) const {
    std::size_t tokens = 0;
    for (const EncoderInput& input : inputs) {
      check_input(input);
      tokens += input.ids.size();
    }
    const std::size_t expected = output == EncoderOutput::vectors
                                     ? inputs.size() * parts_.description.dimensions
                                     : tokens * hidden_;
    if (rows.size() == expected) return;
    throw EncoderError(fmt::format("room for {} floats, expected {}", rows.size(), expected));
  }

  void check_input(const EncoderInput& input) const {
    const std::size_t longest = parts_.description.max_tokens;
    if (input.ids.empty() || input.ids.size() > longest) {
      throw EncoderError(
          fmt::format("a text of {} tokens, expected 1 to {}", input.ids.size(), longest));
    }
    if (input.second_start > input.ids.size()) {
      throw EncoderError("the second text of a pair begins behind its end");
    }
    const auto vocabulary = static_cast<std::int32_t>(parts_.vocabulary);
    for (const std::int32_t id : input.ids) {
      if (id < 0 || id >= vocabulary) throw EncoderError("a token id outside the vocabulary");
    }
  }

  void compute(std::span<const EncoderInput> inputs, EncoderOutput output,
               std::span<float> rows) const {
    const PackedTokens tokens = pack_tokens(inputs);
    const std::vector<float> states = parts_.transformer->forward(tokens);
    if (output == EncoderOutput::tokens) return unpack(inputs, tokens.packing, states, rows);
    if (!parts_.after) return pool_texts(inputs, tokens.packing, states, rows);
    std::vector<float> pooled(inputs.size() * hidden_ * parts_.pooling.size());
    pool_texts(inputs, tokens.packing, states, pooled);
    const std::vector<float> vectors = parts_.after->apply(std::move(pooled), inputs.size());
    std::copy(vectors.begin(), vectors.end(), rows.begin());
  }

  std::span<const float> states_of(std::size_t text, const EncoderInput& input,
                                   const Packing& packing, std::span<const float> states) const {
    return states.subspan(packing.first_tokens[text] * hidden_, input.ids.size() * hidden_);
  }

  void unpack(std::span<const EncoderInput> inputs, const Packing& packing,
              std::span<const float> states, std::span<float> rows) const {
    auto out = rows.begin();
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const auto own = states_of(i, inputs[i], packing, states);
      out = std::copy(own.begin(), own.end(), out);
    }
  }

  void pool_texts(std::span<const EncoderInput> inputs, const Packing& packing,
                  std::span<const float> states, std::span<float> rows) const {
    const std::size_t size = hidden_ * parts_.pooling.size();
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      pool(parts_.pooling, states_of(i, inputs[i], packing, states), hidden_, inputs[i].unpooled,
           rows.subspan(i * size, size));
    }
  }

  EncoderParts parts_;
  std::size_t hidden_;
};

}  // namespace

std::unique_ptr<Encoder> make_encoder(EncoderParts parts) {
  return std::make_unique<TransformerEncoder>(std::move(parts));
}

}  // namespace ml_worker
