#include "model/transformer_encoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace ml_worker {
namespace {

class TransformerEncoder : public Encoder {
 public:
  TransformerEncoder(std::shared_ptr<const EncoderParts> parts, std::unique_ptr<Replica> replica)
      : parts_(std::move(parts)),
        replica_(std::move(replica)),
        hidden_(parts_->description.token_dimensions) {}

  const ModelDescription& description() const override { return parts_->description; }
  const Tokenizer& tokenizer() const override { return *parts_->tokenizer; }
  /// On the CPU a pass changes nothing here, so that one encoder is all of its replicas.
  std::size_t replicas() const override { return parts_->passes; }

  void forward(std::span<const EncoderInput> inputs, EncoderOutput output,
               std::span<float> rows) override {
    check(inputs, output, rows);
    if (inputs.empty()) return;
    try {
      compute(inputs, output, rows);
    } catch (const EncoderError&) {
      throw;
    } catch (const std::exception& error) {
      throw EncoderError(error.what());
    }
  }

 private:
  void check(std::span<const EncoderInput> inputs, EncoderOutput output,
             std::span<const float> rows) const {
    for (const EncoderInput& input : inputs) check_input(input);
    const std::size_t expected = floats_of(parts_->description, inputs, output);
    if (rows.size() == expected) return;
    throw EncoderError(fmt::format("room for {} floats, expected {}", rows.size(), expected));
  }

  void check_input(const EncoderInput& input) const {
    const std::size_t longest = parts_->description.max_tokens;
    if (input.ids.empty() || input.ids.size() > longest) {
      throw EncoderError(
          fmt::format("a text of {} tokens, expected 1 to {}", input.ids.size(), longest));
    }
    if (input.second_start > input.ids.size()) {
      throw EncoderError("the second text of a pair begins behind its end");
    }
    const auto vocabulary = static_cast<std::int32_t>(parts_->vocabulary);
    for (const std::int32_t id : input.ids) {
      if (id < 0 || id >= vocabulary) throw EncoderError("a token id outside the vocabulary");
    }
  }

  void compute(std::span<const EncoderInput> inputs, EncoderOutput output, std::span<float> rows) {
    const PackedTokens tokens = pack_tokens(inputs);
    if (output == EncoderOutput::tokens) {
      return unpack(inputs, tokens.packing, replica_->states(tokens), rows);
    }
    if (!parts_->after) return replica_->pooled(inputs, tokens, rows);
    std::vector<float> pooled(inputs.size() * parts_->pooled_size);
    replica_->pooled(inputs, tokens, pooled);
    const std::vector<float> vectors = parts_->after->apply(std::move(pooled), inputs.size());
    std::copy(vectors.begin(), vectors.end(), rows.begin());
  }

  void unpack(std::span<const EncoderInput> inputs, const Packing& packing,
              std::span<const float> states, std::span<float> rows) const {
    auto out = rows.begin();
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const auto own =
          states.subspan(packing.first_tokens[i] * hidden_, inputs[i].ids.size() * hidden_);
      out = std::copy(own.begin(), own.end(), out);
    }
  }

  std::shared_ptr<const EncoderParts> parts_;
  std::unique_ptr<Replica> replica_;
  std::size_t hidden_;
};

}  // namespace

std::unique_ptr<Encoder> make_encoder(std::shared_ptr<const EncoderParts> parts,
                                      std::unique_ptr<Replica> replica) {
  return std::make_unique<TransformerEncoder>(std::move(parts), std::move(replica));
}

}  // namespace ml_worker
