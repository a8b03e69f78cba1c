#include <utility>

#include "model/replica.h"

namespace ml_worker {
namespace {

class HostReplica : public Replica {
 public:
  HostReplica(std::unique_ptr<const Transformer> transformer, std::vector<PoolingMode> pooling)
      : transformer_(std::move(transformer)),
        pooling_(std::move(pooling)),
        hidden_(static_cast<std::size_t>(transformer_->config().hidden)) {}

  std::vector<float> states(const PackedTokens& tokens) override {
    return transformer_->forward(tokens);
  }

  void pooled(std::span<const EncoderInput> inputs, const PackedTokens& tokens,
              std::span<float> rows) override {
    const std::vector<float> states = transformer_->forward(tokens);
    const std::size_t size = hidden_ * pooling_.size();
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const auto text = std::span(states).subspan(tokens.packing.first_tokens[i] * hidden_,
                                                  inputs[i].ids.size() * hidden_);
      pool(pooling_, text, hidden_, inputs[i].unpooled, rows.subspan(i * size, size));
    }
  }

 private:
  std::unique_ptr<const Transformer> transformer_;
  std::vector<PoolingMode> pooling_;
  std::size_t hidden_;
};

}  // namespace

std::unique_ptr<Replica> make_host_replica(std::unique_ptr<const Transformer> transformer,
                                           std::vector<PoolingMode> pooling) {
  return std::make_unique<HostReplica>(std::move(transformer), std::move(pooling));
}

}  // namespace ml_worker
